#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netmap/allocator.h"
#include "netmap/ports.h"
#include "netmap/process.h"
#include "netmap/request.h"

namespace ringway::netmap {
namespace {

abi::Register request_of(std::uint16_t mem_id) {
  abi::Register request{};
  request.nr_mode = abi::kModeAllNic;
  request.nr_mem_id = mem_id;
  return request;
}

std::uint32_t allocator_of_id(std::uint16_t mem_id) {
  return find_allocator(mem_id == 0 ? std::uint16_t{1} : mem_id);
}

void fill(const Allocator& memory, std::uint32_t index, abi::PoolsInfo* info) {
  info->nr_memsize = memory.bytes;
  info->nr_mem_id = mem_id_of(index);
  info->nr_if_pool_offset = memory.ifs.offset;
  info->nr_if_pool_objtotal = memory.ifs.total;
  info->nr_if_pool_objsize = memory.ifs.size;
  info->nr_ring_pool_offset = memory.rings.offset;
  info->nr_ring_pool_objtotal = memory.rings.total;
  info->nr_ring_pool_objsize = memory.rings.size;
  info->nr_buf_pool_offset = memory.bufs.offset;
  info->nr_buf_pool_objtotal = memory.bufs.total;
  info->nr_buf_pool_objsize = memory.bufs.size;
}

}  // namespace

int port_info(std::string_view name, abi::PortInfo* info) {
  if (name.empty()) {
    const std::uint32_t allocator = allocator_of_id(info->nr_mem_id);
    if (allocator == kNone) return EINVAL;
    info->nr_memsize = registry()->allocators[allocator].bytes;
    info->nr_mem_id = mem_id_of(allocator);
    return 0;
  }
  abi::Register request = request_of(info->nr_mem_id);
  request.nr_tx_rings = info->nr_tx_rings;
  request.nr_rx_rings = info->nr_rx_rings;
  request.nr_tx_slots = info->nr_tx_slots;
  request.nr_rx_slots = info->nr_rx_slots;
  request.nr_host_tx_rings = info->nr_host_tx_rings;
  request.nr_host_rx_rings = info->nr_host_rx_rings;
  std::uint32_t index = kNone;
  if (const int failed = resolve(name, request, kNone, &index); failed != 0) return failed;
  const Port& port = port_at(index);
  *info = {};
  info->nr_memsize = registry()->allocators[port.allocator].bytes;
  info->nr_tx_slots = port.tx_slots;
  info->nr_rx_slots = port.rx_slots;
  info->nr_tx_rings = static_cast<std::uint16_t>(port.tx_rings);
  info->nr_rx_rings = static_cast<std::uint16_t>(port.rx_rings);
  info->nr_host_tx_rings = static_cast<std::uint16_t>(port.host_tx);
  info->nr_host_rx_rings = static_cast<std::uint16_t>(port.host_rx);
  info->nr_mem_id = mem_id_of(port.allocator);
  end_if_unused(index);
  return 0;
}

int pools_info(std::string_view name, abi::PoolsInfo* info) {
  if (name.empty()) return ENXIO;
  std::uint32_t index = kNone;
  const int failed = resolve(name, request_of(info->nr_mem_id), kNone, &index);
  if (failed != 0) return failed;
  const std::uint32_t allocator = port_at(index).allocator;
  fill(registry()->allocators[allocator], allocator, info);
  end_if_unused(index);
  return 0;
}

int set_header(std::string_view name, const abi::PortHdr& header) {
  if (!has_vale_prefix(name)) return ENXIO;
  const std::uint32_t index = find_on_switch(name);
  if (index == kNone) return ENXIO;
  const std::uint32_t length = header.nr_hdr_len;
  if (length != 0 && length != 10 && length != 12) return EINVAL;
  port_at(index).header_bytes = length;
  return 0;
}

int get_header(std::string_view name, abi::PortHdr* header) {
  std::uint32_t index = kNone;
  if (const int failed = resolve_existing(name, &index); failed == 0) {
    header->nr_hdr_len = port_at(index).header_bytes;
    return 0;
  } else if (failed != ENXIO || has_vale_prefix(name)) {
    return failed;
  }
  // An interface that nobody has open.
  if (const int failed = make_device(name, {}, kNone, &index); failed != 0) return failed;
  end_if_unused(index);
  header->nr_hdr_len = 0;
  return 0;
}

namespace {

constexpr std::uint32_t kNoSuchPort = 255;

int list_named(std::string_view name, abi::ValeList* list) {
  if (!has_vale_prefix(name)) return EINVAL;
  const std::uint32_t number = find_switch(name);
  if (number == kNone) return ENOENT;
  list->nr_bridge_idx = static_cast<std::uint16_t>(number);
  const std::uint32_t port = find_on_switch(name);
  list->nr_port_idx = kNoSuchPort;
  if (port == kNone) return 0;
  const bool second = port_at(port).second_switch == number + 1;
  list->nr_port_idx = second ? port_at(port).second_switch_port : port_at(port).switch_port;
  return 0;
}

void write_name(char* out, const Switch& s, std::uint32_t place) {
  const Port& port = port_at(s.port[place].load() - 1);
  std::string whole(name_of(port));
  if (!has_vale_prefix(whole)) whole = std::string(s.name) + ":" + whole;
  if (s.is_host[place] != 0) whole += '^';
  std::memset(out, 0, abi::kNameBytes);
  whole.copy(out, abi::kNameBytes - 1);
}

}  // namespace

int list_ports(char* name, abi::ValeList* list) {
  if (*name != '\0') return list_named(name, list);
  Registry& r = *registry();
  std::uint32_t place = list->nr_port_idx;
  for (std::uint32_t number = list->nr_bridge_idx; number < kMaxSwitches; ++number) {
    for (; place < kMaxSwitchPorts; ++place) {
      if (r.switches[number].ports == 0 || r.switches[number].port[place].load() == 0) continue;
      list->nr_bridge_idx = static_cast<std::uint16_t>(number);
      list->nr_port_idx = place;
      write_name(name, r.switches[number], place);
      return 0;
    }
    place = 0;
  }
  return ENOENT;
}

}  // namespace ringway::netmap
