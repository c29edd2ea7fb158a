// Guards: programs behind a veth pair each.

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>

#include <cerrno>
#include <cstring>

#include "driver/xdp/xdp_steering.h"

namespace ringway::driver::xdp {

using base::ErrorCode;
using base::Result;

namespace {

tl::unexpected<base::Error> fail(int number, const std::string& what) {
  return tl::unexpected(
      base::Error{ErrorCode::kSystem, number, what + ": " + std::strerror(number)});
}

}  // namespace

// By netlink both, so that they outlive this process. The program end comes first: without a
// program there a veth takes no redirected frame.
Result<void> Steering::attach_guard(const rw_guard& guard) {
  const int inlet = bpf_xdp_attach(static_cast<int>(guard.program), programs_[kInlet],
                                   XDP_FLAGS_DRV_MODE, nullptr);
  if (inlet != 0) return fail(-inlet, "no XDP program can be attached to a veth");
  LIBBPF_OPTS(bpf_tc_hook, hook);
  hook.ifindex = static_cast<int>(guard.host);
  hook.attach_point = BPF_TC_INGRESS;
  const int made = bpf_tc_hook_create(&hook);
  if (made != 0 && made != -EEXIST) {
    return fail(-made, "a guarded lease needs CONFIG_NET_SCH_INGRESS");
  }
  LIBBPF_OPTS(bpf_tc_opts, options);
  options.prog_fd = programs_[kOutlet];
  options.handle = 1;
  options.priority = 1;
  const int outlet = bpf_tc_attach(&hook, &options);
  if (outlet != 0) return fail(-outlet, "a guarded lease needs CONFIG_NET_CLS_BPF");
  return {};
}

Result<void> Steering::set_guard(std::uint32_t number, const rw_guard& guard, int socket) {
  const rw_bucket empty{};
  const std::uint32_t host = guard.host;
  const bool set = bpf_map_update_elem(maps_[kBuckets], &number, &empty, BPF_ANY) == 0 &&
                   bpf_map_update_elem(maps_[kGuards], &number, &guard, BPF_ANY) == 0 &&
                   bpf_map_update_elem(maps_[kEnds], &guard.host, &number, BPF_ANY) == 0 &&
                   bpf_map_update_elem(maps_[kEnds], &guard.program, &number, BPF_ANY) == 0 &&
                   bpf_map_update_elem(maps_[kInlets], &number, &socket, BPF_ANY) == 0;
  if (!set) {
    const int number_of_error = errno;
    drop_guard(number);
    return fail(number_of_error, "a guarded lease cannot be written down");
  }
  auto attached = attach_guard(guard);
  if (attached && bpf_map_update_elem(maps_[kGuardIn], &number, &host, BPF_ANY) != 0) {
    attached = fail(errno, options_.device + " cannot be redirected to a veth");
  }
  if (!attached) drop_guard(number);
  return attached;
}

void Steering::drop_guard(std::uint32_t number) {
  const rw_guard old = guard(number);
  bpf_map_delete_elem(maps_[kGuardIn], &number);
  bpf_map_delete_elem(maps_[kInlets], &number);
  bpf_map_delete_elem(maps_[kEnds], &old.host);
  bpf_map_delete_elem(maps_[kEnds], &old.program);
  write_guard(number, {});
}

rw_guard Steering::guard(std::uint32_t number) const {
  rw_guard found{};
  if (bpf_map_lookup_elem(maps_[kGuards], &number, &found) != 0) return {};
  return found;
}

void Steering::write_guard(std::uint32_t number, const rw_guard& guard) {
  bpf_map_update_elem(maps_[kGuards], &number, &guard, BPF_ANY);
}

rw_bucket Steering::bucket(std::uint32_t number) const {
  rw_bucket found{};
  if (bpf_map_lookup_elem(maps_[kBuckets], &number, &found) != 0) return {};
  return found;
}

void Steering::set_mac(const base::MacAddress& mac) {
  for (std::uint32_t number = 1; number < RW_MAX_GUARDS; ++number) {
    rw_guard changed = guard(number);
    if (changed.host == 0) continue;
    std::memcpy(changed.mac, mac.bytes.data(), sizeof changed.mac);
    write_guard(number, changed);
  }
}

}  // namespace ringway::driver::xdp
