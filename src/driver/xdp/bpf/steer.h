#pragma once

/* What the steering program and whoever fills its maps agree on; C and C++. */

#include <linux/bpf.h>
#include <linux/types.h>

/* One lease: traffic to this address, protocol and port is a program's. */
struct rw_lease_key {
  __u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
  __u16 port;       /* network order */
  __u8 protocol;
  __u8 reserved;
};

/* Who has a lease: for a successor of whoever filled the map. */
struct rw_lease {
  __u32 pid;
  __u32 guard;      /* the guard behind which the program is; 0: it has the device's own queues */
  __u64 start_time; /* of the process: tells it from a later one of the same pid */
};

/* A guard: the veth pair of a program that has no queue of the device itself. */
struct rw_guard {
  __u32 pid;
  __u32 uid;
  __u64 start_time;
  __u64 bytes;      /* of memory that the program is charged with */
  __u32 host;       /* interface on the kernel's side; 0: no guard */
  __u32 program;    /* interface on which the program's socket is */
  __u32 ns_per_kib; /* rate limit: nanoseconds that 1024 bytes take; 0: none */
  __u8 mac[6];      /* of the device: the only source of frames */
  __u8 reserved[2];
};

/* What a guard remembers, and the frames that it dropped. */
struct rw_bucket {
  struct bpf_spin_lock lock;
  __u32 reserved;
  __u64 next; /* when the last frame let through has been paid for */
  __u64 foreign;
  __u64 limited;
};

enum { RW_TAKE_ALL = 1 };

struct rw_config {
  __u32 flags;
  __u32 device; /* its interface index */
};

enum {
  RW_REDIRECTED,
  RW_PASSED,
  RW_ICMP,    /* errors that went to the owner of the quoted packet */
  RW_GUARDED, /* to a program behind a guard */
  RW_SENT,    /* by a program behind a guard */
  RW_FOREIGN, /* dropped by a guard: the source is not leased to its program */
  RW_LIMITED, /* dropped by a guard: more than its rate */
  RW_COUNTERS,
};

enum { RW_MAX_QUEUES = 64, RW_MAX_LEASES = 65536, RW_MAX_GUARDS = 256 };

/* A program that was quiet may send what takes this long at its rate at once. */
enum { RW_BURST_NS = 10000000 };
