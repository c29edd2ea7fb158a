/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0) */
/* The steering program of a device: what is leased goes to its program, everything else to the
 * kernel.
 *
 * A program has the device's own queues, or a guard: a veth pair whose one end has its socket.
 *
 *   device -- rw_steer --> rw_sockets                                      direct
 *                     \-> rw_guard_in: host end ~ program end -- rw_inlet --> rw_inlets
 *   device <-- rw_outlet -- host end ~ program end <-- its socket          guarded
 */

#include "steer.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>

#ifndef IPPROTO_ICMPV6
#define IPPROTO_ICMPV6 58
#endif

char _license[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct rw_config);
} rw_config SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, RW_MAX_LEASES);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct rw_lease_key);
  __type(value, struct rw_lease);
} rw_leases SEC(".maps");

/* By receive queue. */
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, RW_MAX_QUEUES);
  __type(key, __u32);
  __type(value, __u32);
} rw_sockets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, RW_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} rw_counters SEC(".maps");

/* By number of a guard, from 1. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, RW_MAX_GUARDS);
  __type(key, __u32);
  __type(value, struct rw_guard);
} rw_guards SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, RW_MAX_GUARDS);
  __type(key, __u32);
  __type(value, struct rw_bucket);
} rw_buckets SEC(".maps");

/* The guard of an interface, of either end. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 2 * RW_MAX_GUARDS);
  __type(key, __u32);
  __type(value, __u32);
} rw_ends SEC(".maps");

/* The host end of a guard. */
struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, RW_MAX_GUARDS);
  __type(key, __u32);
  __type(value, __u32);
} rw_guard_in SEC(".maps");

/* The socket on the program end of a guard. */
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, RW_MAX_GUARDS);
  __type(key, __u32);
  __type(value, __u32);
} rw_inlets SEC(".maps");

static __always_inline void count(__u32 what) {
  __u64* n = bpf_map_lookup_elem(&rw_counters, &what);
  if (n) ++*n;
}

/* Where the headers of one packet are; filled by find_transport(). */
struct packet {
  void* l4;
  __u8 protocol;
  __u8 src[16];
  __u8 dst[16];
};

struct ipv4 {
  __u8 version_length;
  __u8 tos;
  __be16 total;
  __be16 id;
  __be16 fragment;
  __u8 ttl;
  __u8 protocol;
  __be16 checksum;
  __u8 src[4];
  __u8 dst[4];
};

struct ipv6 {
  __u8 version;
  __u8 rest[3];
  __be16 length;
  __u8 next;
  __u8 hops;
  __u8 src[16];
  __u8 dst[16];
};

struct ports {
  __be16 src;
  __be16 dst;
};

static __always_inline void map_v4(__u8* to, const __u8* from) {
  __builtin_memset(to, 0, 10);
  to[10] = to[11] = 0xff;
  __builtin_memcpy(to + 12, from, 4);
}

/* 0: no packet that can be leased. Fragments are not: only the kernel puts them together. */
static __always_inline int read_v4(void* at, void* end, struct packet* p) {
  struct ipv4* ip = at;
  if ((void*)(ip + 1) > end || ip->version_length >> 4 != 4) return 0;
  __u32 length = (ip->version_length & 15) * 4;
  if (length < 20 || (ip->fragment & bpf_htons(0x3fff))) return 0;
  p->protocol = ip->protocol;
  p->l4 = at + length;
  map_v4(p->src, ip->src);
  map_v4(p->dst, ip->dst);
  return 1;
}

static __always_inline int read_v6(void* at, void* end, struct packet* p) {
  struct ipv6* ip = at;
  if ((void*)(ip + 1) > end || ip->version >> 4 != 6) return 0;
  p->protocol = ip->next;
  p->l4 = ip + 1;
  __builtin_memcpy(p->src, ip->src, 16);
  __builtin_memcpy(p->dst, ip->dst, 16);
  return 1;
}

/* Ethernet with up to two VLAN tags would be another interface's: only untagged frames. */
static __always_inline int find_transport(void* data, void* end, struct packet* p) {
  struct ethhdr* eth = data;
  if ((void*)(eth + 1) > end) return 0;
  if (eth->h_proto == bpf_htons(ETH_P_IP)) return read_v4(eth + 1, end, p);
  if (eth->h_proto == bpf_htons(ETH_P_IPV6)) return read_v6(eth + 1, end, p);
  return 0;
}

static __always_inline struct rw_lease* find(const __u8* address, __u8 protocol, __be16 port) {
  struct rw_lease_key key = {};
  __builtin_memcpy(key.address, address, 16);
  key.protocol = protocol;
  key.port = port;
  return bpf_map_lookup_elem(&rw_leases, &key);
}

/* An ICMP error belongs to whoever sent the packet that it quotes. */
static __always_inline struct rw_lease* find_quoted(struct packet* p, void* end) {
  __u8* icmp = p->l4;
  struct packet quoted = {};
  if (icmp + 8 > (__u8*)end) return 0;
  int v4 = p->protocol == IPPROTO_ICMP;
  /* Unreachable, time exceeded, parameter problem; of ICMPv6 all below 128. */
  if (v4 && icmp[0] != 3 && icmp[0] != 11 && icmp[0] != 12) return 0;
  if (!v4 && icmp[0] >= 128) return 0;
  if (v4 ? !read_v4(icmp + 8, end, &quoted) : !read_v6(icmp + 8, end, &quoted)) return 0;
  struct ports* ports = quoted.l4;
  if ((void*)(ports + 1) > end) return 0;
  return find(quoted.src, quoted.protocol, ports->src);
}

/* An empty place (its program is dead): the kernel answers. */
static __always_inline int deliver(struct xdp_md* ctx, __u32 guard) {
  if (guard) {
    count(RW_GUARDED);
    return bpf_redirect_map(&rw_guard_in, guard, XDP_PASS);
  }
  count(RW_REDIRECTED);
  return bpf_redirect_map(&rw_sockets, ctx->rx_queue_index, XDP_PASS);
}

SEC("xdp.frags")
int rw_steer(struct xdp_md* ctx) {
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  struct packet p = {};
  struct rw_lease* lease = 0;
  __u32 zero = 0;
  struct rw_config* config = bpf_map_lookup_elem(&rw_config, &zero);
  if (config && (config->flags & RW_TAKE_ALL)) {
    return deliver(ctx, 0);
  }
  if (!find_transport(data, end, &p)) goto pass;
  if (p.protocol == IPPROTO_TCP || p.protocol == IPPROTO_UDP) {
    struct ports* ports = p.l4;
    if ((void*)(ports + 1) > end) goto pass;
    lease = find(p.dst, p.protocol, ports->dst);
  } else if (p.protocol == IPPROTO_ICMP || p.protocol == IPPROTO_ICMPV6) {
    lease = find_quoted(&p, end);
    if (lease) count(RW_ICMP);
  }
  if (lease) return deliver(ctx, lease->guard);
pass:
  count(RW_PASSED);
  return XDP_PASS;
}

/* On the program end of a guard: all that the device's steering let in. */
SEC("xdp.frags")
int rw_inlet(struct xdp_md* ctx) {
  __u32 index = ctx->ingress_ifindex;
  __u32* guard = bpf_map_lookup_elem(&rw_ends, &index);
  return guard ? bpf_redirect_map(&rw_inlets, *guard, XDP_DROP) : XDP_DROP;
}

/* Only whole TCP and UDP packets from what is leased to this very program. Fragments have no ports,
 * tags would lead to another interface, and ARP, ND and ICMP are for the kernel to say. */
static __always_inline int is_own(struct __sk_buff* skb, struct rw_guard* guard, __u32 number) {
  void* data = (void*)(long)skb->data;
  void* end = (void*)(long)skb->data_end;
  struct ethhdr* eth = data;
  struct packet p = {};
  if ((void*)(eth + 1) > end || skb->vlan_present) return 0;
  for (int i = 0; i < 6; ++i) {
    if (eth->h_source[i] != guard->mac[i]) return 0;
  }
  if (!find_transport(data, end, &p)) return 0;
  if (p.protocol != IPPROTO_TCP && p.protocol != IPPROTO_UDP) return 0;
  struct ports* ports = p.l4;
  if ((void*)(ports + 1) > end) return 0;
  struct rw_lease* lease = find(p.src, p.protocol, ports->src);
  return lease && lease->guard == number;
}

static __always_inline int within_rate(struct rw_bucket* bucket, __u64 cost) {
  __u64 now = bpf_ktime_get_ns();
  int within = 0;
  bpf_spin_lock(&bucket->lock);
  __u64 next = bucket->next > now ? bucket->next : now;
  if (next <= now + RW_BURST_NS) {
    bucket->next = next + cost;
    within = 1;
  }
  bpf_spin_unlock(&bucket->lock);
  return within;
}

/* On the host end of a guard: nothing that the program's socket sends was seen by any hook before.
 * By tc, not XDP: it reaches a device of any kind, and what is left to do about a checksum is kept.
 */
SEC("tc")
int rw_outlet(struct __sk_buff* skb) {
  __u32 index = skb->ifindex;
  __u32 zero = 0;
  __u32* number = bpf_map_lookup_elem(&rw_ends, &index);
  struct rw_config* config = bpf_map_lookup_elem(&rw_config, &zero);
  if (!number || !config) return TC_ACT_SHOT;
  __u32 n = *number;
  struct rw_guard* guard = bpf_map_lookup_elem(&rw_guards, &n);
  struct rw_bucket* bucket = bpf_map_lookup_elem(&rw_buckets, &n);
  if (!guard || !bucket) return TC_ACT_SHOT;
  if (!is_own(skb, guard, n)) {
    count(RW_FOREIGN);
    __sync_fetch_and_add(&bucket->foreign, 1);
    return TC_ACT_SHOT;
  }
  if (guard->ns_per_kib && !within_rate(bucket, (__u64)skb->len * guard->ns_per_kib / 1024)) {
    count(RW_LIMITED);
    __sync_fetch_and_add(&bucket->limited, 1);
    return TC_ACT_SHOT;
  }
  count(RW_SENT);
  return bpf_redirect(config->device, 0);
}
