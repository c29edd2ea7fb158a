#include <net/if.h>
#include <unistd.h>

#include <cerrno>

#include "netmap/allocator.h"
#include "netmap/ports.h"
#include "netmap/process.h"

namespace ringway::netmap {
namespace {

constexpr std::size_t kMostName = 15;

std::string_view own_part(std::string_view name) { return name.substr(name.find(':') + 1); }

}  // namespace

int make_persistent(std::string_view name, abi::ValeNewif* request, bool automatic,
                    std::uint32_t allocator, std::uint32_t* out) {
  if (name.empty() || name.size() > kMostName || has_vale_prefix(name)) return EINVAL;
  if (find_port(name) != kNone || ::if_nametoindex(std::string(name).c_str()) != 0) return EEXIST;
  abi::Register counts{};
  counts.nr_tx_rings = request->nr_tx_rings;
  counts.nr_rx_rings = request->nr_rx_rings;
  counts.nr_tx_slots = request->nr_tx_slots;
  counts.nr_rx_slots = request->nr_rx_slots;
  counts.nr_mem_id = request->nr_mem_id;
  if (allocator == kNone && counts.nr_mem_id != 0 && find_allocator(counts.nr_mem_id) == kNone) {
    return EINVAL;
  }
  const std::uint32_t index = new_port(PortKind::kPersistent, name);
  if (index == kNone) return ENOMEM;
  Port& port = port_at(index);
  set_counts(port, counts, {16, 1, 1024, 1024});
  if (const int failed = choose_memory(port, counts, allocator); failed != 0) {
    free_port(index);
    return failed;
  }
  port.automatic = automatic ? 1 : 0;
  *out = index;
  return 0;
}

int new_interface(std::string_view name, abi::ValeNewif* request) {
  std::uint32_t index = kNone;
  const int failed = make_persistent(name, request, false, kNone, &index);
  if (failed != 0) return failed;
  const Port& port = port_at(index);
  request->nr_tx_slots = port.tx_slots;
  request->nr_rx_slots = port.rx_slots;
  request->nr_tx_rings = static_cast<std::uint16_t>(port.tx_rings);
  request->nr_rx_rings = static_cast<std::uint16_t>(port.rx_rings);
  request->nr_mem_id = mem_id_of(port.allocator);
  return 0;
}

int delete_interface(std::string_view name) {
  const std::uint32_t index = find_port(name);
  if (index == kNone) {
    return ::if_nametoindex(std::string(name).c_str()) != 0 ? EINVAL : ENXIO;
  }
  Port& port = port_at(index);
  if (port.kind.load() != PortKind::kPersistent || port.automatic != 0) return EINVAL;
  if (port.attached != 0 || port.descriptors != 0 || port.children != 0) return EBUSY;
  const std::uint32_t allocator = port.allocator;
  free_port(index);
  drop_allocator(allocator);
  return 0;
}

namespace {

/// What is to be attached: a persistent port, or an interface, for which a port is made.
int attachable(std::string_view own, const abi::Register& reg, std::uint32_t* index) {
  *index = find_port(own);
  if (*index == kNone) {
    if (reg.nr_ringid != 0) return EINVAL;
    return make_device(own, {}, kNone, index) == 0 ? 0 : EINVAL;
  }
  const PortKind kind = port_at(*index).kind.load();
  if (kind != PortKind::kPersistent && kind != PortKind::kDevice) return EINVAL;
  return port_at(*index).automatic != 0 ? EINVAL : 0;
}

int may_attach(const Port& port, std::uint32_t number, const abi::Register& reg) {
  const bool is_device = port.kind.load() == PortKind::kDevice;
  if (port.on_switch.load() != 0 && port.on_switch.load() == number + 1) return EBUSY;
  if (port.second_switch != 0 || (is_device && port.attached != 0)) return EBUSY;
  if (port.descriptors != 0 && port.on_switch.load() == 0) return EBUSY;
  if (is_device && reg.nr_mode != abi::kModeAllNic && reg.nr_mode != abi::kModeNicSw) {
    return EINVAL;
  }
  return 0;
}

}  // namespace

int attach_to_switch(std::string_view name, abi::ValeAttach* request) {
  if (!has_vale_prefix(name)) return EINVAL;
  if (check_vale_name(name) != 0) return EINVAL;
  if (request->reg.nr_mem_id != 0 && find_allocator(request->reg.nr_mem_id) == kNone) {
    return EINVAL;
  }
  std::uint32_t index = kNone;
  if (const int failed = attachable(own_part(name), request->reg, &index); failed != 0) {
    return failed;
  }
  Port& port = port_at(index);
  int failed = may_attach(port, find_switch(name), request->reg);
  const bool with_host =
      port.kind.load() == PortKind::kDevice && request->reg.nr_mode == abi::kModeNicSw;
  if (failed == 0) failed = join_switch(name, index, with_host);
  if (failed != 0) {
    end_if_unused(index);
    return failed;
  }
  ++port.attached;
  request->port_index = port.second_switch != 0 ? port.second_switch_port : port.switch_port;
  return 0;
}

int detach_from_switch(std::string_view name, abi::ValeDetach* request) {
  if (!has_vale_prefix(name)) return EINVAL;
  const std::uint32_t index = find_on_switch(name);
  if (index == kNone) return ENXIO;
  Port& port = port_at(index);
  if (port.attached == 0) {
    request->port_index = port.switch_port;
    return 0;  // an ephemeral port goes with its last user, not by this
  }
  if (port.polling != 0) return EBUSY;
  const std::uint32_t number = find_switch(name);
  if (port.second_switch != 0) {
    if (port.second_switch != number + 1) return EBUSY;
    request->port_index = port.second_switch_port;
    leave_second_switch(index);
    --port.attached;
    return 0;
  }
  request->port_index = port.switch_port;
  leave_switch(index);
  --port.attached;
  end_if_unused(index);
  return 0;
}

int set_polling(std::string_view name, const abi::ValePolling& request, bool on) {
  if (!has_vale_prefix(name)) return EINVAL;
  const std::uint32_t index = find_on_switch(name);
  if (index == kNone) return ENXIO;
  Port& port = port_at(index);
  if (port.kind.load() != PortKind::kDevice) return EOPNOTSUPP;
  constexpr std::uint32_t kSingle = 1;
  constexpr std::uint32_t kMulti = 2;
  if (!on) {
    if (port.polling == 0) return EFAULT;
    port.polling = 0;
    return 0;
  }
  const auto cpus = static_cast<std::uint32_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  const std::uint32_t count = request.nr_num_polling_cpus;
  if (count == 0 || count >= cpus) return EINVAL;
  if (request.nr_mode != kSingle && request.nr_mode != kMulti) return EINVAL;
  if (request.nr_mode == kSingle && count != 1) return EINVAL;
  const std::uint64_t last = std::uint64_t{request.nr_first_cpu_id} + count;
  if (request.nr_mode == kMulti && last > port.rx_rings) return EINVAL;
  if (port.polling != 0) return EFAULT;
  port.polling = 1;
  return 0;
}

}  // namespace ringway::netmap
