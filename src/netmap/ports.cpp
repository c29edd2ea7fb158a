#include "netmap/ports.h"

#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netmap/allocator.h"
#include "netmap/process.h"

namespace ringway::netmap {

Port& port_at(std::uint32_t index) { return registry()->ports[index]; }

std::uint32_t index_of(const Port& port) {
  return static_cast<std::uint32_t>(&port - registry()->ports.data());
}

std::uint32_t find_port(std::string_view name) {
  Registry& r = *registry();
  for (std::uint32_t i = 0; i < r.port_limit; ++i) {
    const PortKind kind = r.ports[i].kind.load(std::memory_order_relaxed);
    const bool named =
        kind != PortKind::kFree && kind != PortKind::kMonitor && kind != PortKind::kNull;
    if (named && name_of(r.ports[i]) == name) return i;
  }
  return kNone;
}

namespace {

bool is_monitor(const abi::Register& request) {
  return (request.nr_flags & (abi::kMonitorTx | abi::kMonitorRx | abi::kZcopyMonitor)) != 0;
}

bool is_pipe_name(std::string_view name) {
  return name.find_first_of("{}") != std::string_view::npos;
}

int make_vale(std::string_view name, const abi::Register& request, std::uint32_t allocator,
              std::uint32_t* out) {
  if (const int wrong = check_vale_name(name); wrong != 0) return wrong;
  const std::string_view own = name.substr(name.find(':') + 1);
  char interface[IF_NAMESIZE] = {};
  own.copy(interface, IF_NAMESIZE - 1);
  if (find_port(own) != kNone || ::if_nametoindex(interface) != 0) return EINVAL;
  const std::uint32_t index = new_port(PortKind::kVale, name);
  if (index == kNone) return ENOMEM;
  Port& port = port_at(index);
  set_counts(port, request, {16, 1, 1024, 1024});
  if (const int failed = choose_memory(port, request, allocator); failed != 0) {
    free_port(index);
    return failed;
  }
  if (const int failed = join_switch(name, index, false); failed != 0) {
    end_if_unused(index);
    return failed;
  }
  *out = index;
  return 0;
}

int resolve_vale(std::string_view name, const abi::Register& request, std::uint32_t allocator,
                 std::uint32_t* out) {
  *out = find_on_switch(name);
  if (*out == kNone) return make_vale(name, request, allocator, out);
  return port_at(*out).kind.load() == PortKind::kDevice ? EBUSY : 0;
}

int resolve_interface(std::string_view name, const abi::Register& request, std::uint32_t allocator,
                      std::uint32_t* out) {
  *out = find_port(name);
  if (*out == kNone) return make_device(name, request, allocator, out);
  const Port& port = port_at(*out);
  const bool taken = port.kind.load() == PortKind::kDevice && port.attached != 0;
  return taken ? EBUSY : 0;
}

}  // namespace

int resolve(std::string_view name, const abi::Register& request, std::uint32_t allocator,
            std::uint32_t* port) {
  if (allocator == kNone && request.nr_mem_id != 0 && find_allocator(request.nr_mem_id) == kNone) {
    return EINVAL;
  }
  if (request.nr_mode == abi::kModePipeMaster || request.nr_mode == abi::kModePipeSlave) {
    return EINVAL;
  }
  if (request.nr_mode == abi::kModeNull) return make_null(name, request, allocator, port);
  if (is_monitor(request)) return make_monitor(name, request, allocator, port);
  if (is_pipe_name(name)) return make_pipe(name, request, allocator, port);
  if (has_vale_prefix(name)) return resolve_vale(name, request, allocator, port);
  return resolve_interface(name, request, allocator, port);
}

int resolve_existing(std::string_view name, std::uint32_t* port) {
  *port = find_port(name);
  if (*port == kNone && has_vale_prefix(name)) *port = find_on_switch(name);
  if (*port != kNone) return 0;
  return is_pipe_name(name) ? ENODEV : ENXIO;
}

namespace {

void forget_parent(std::uint32_t parent) {
  Port& port = port_at(parent);
  --port.children;
  bring_down_if_unused(parent);
  end_if_unused(parent);
}

void end_pipe(std::uint32_t index) {
  Port& port = port_at(index);
  const std::uint32_t peer = port.peer;
  const std::uint32_t parent = port.parent;
  if (port_at(peer).descriptors != 0) return;
  for (const std::uint32_t end : {index, peer}) {
    drop_allocator(port_at(end).allocator);
    free_port(end);
  }
  forget_parent(parent);
}

}  // namespace

void end_if_unused(std::uint32_t index) {
  Port& port = port_at(index);
  if (port.descriptors != 0 || port.children != 0 || port.up.load() != 0) return;
  switch (port.kind.load()) {
    case PortKind::kFree:
      return;
    case PortKind::kPipe:
      return end_pipe(index);
    case PortKind::kPersistent:
      if (port.automatic == 0) return;
      break;
    case PortKind::kDevice:
      if (port.attached != 0) return;
      break;
    default:
      break;
  }
  leave_switch(index);
  const std::uint32_t allocator = port.allocator;
  free_port(index);
  if (allocator != kNone) drop_allocator(allocator);
}

}  // namespace ringway::netmap
