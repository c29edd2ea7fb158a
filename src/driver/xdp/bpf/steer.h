#pragma once

/* What the steering program and whoever fills its maps agree on; C and C++. */

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
  __u32 reserved;
  __u64 start_time; /* of the process: tells it from a later one of the same pid */
};

enum { RW_TAKE_ALL = 1 };

struct rw_config {
  __u32 flags;
};

enum {
  RW_REDIRECTED,
  RW_PASSED,
  RW_ICMP, /* errors that went to the owner of the quoted packet */
  RW_COUNTERS,
};

enum { RW_MAX_QUEUES = 64, RW_MAX_LEASES = 65536 };
