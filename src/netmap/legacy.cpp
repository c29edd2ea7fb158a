#include <cerrno>
#include <cstring>
#include <string>

#include "netmap/binding.h"
#include "netmap/ports.h"
#include "netmap/process.h"
#include "netmap/request.h"

namespace ringway::netmap {
namespace {

constexpr std::uint32_t kBindHost = 1;  // nr_arg1 of an attach

std::string name_in(const abi::LegacyRequest& r) {
  return std::string(r.nr_name, ::strnlen(r.nr_name, sizeof r.nr_name - 1));
}

std::uint32_t mode_of(const abi::LegacyRequest& r) {
  if ((r.nr_flags & abi::kLegacyModeMask) != 0) return r.nr_flags & abi::kLegacyModeMask;
  if ((r.nr_ringid & abi::kLegacySwRing) != 0) return abi::kModeSw;
  if ((r.nr_ringid & abi::kLegacyHwRing) != 0) return abi::kModeOneNic;
  return abi::kModeAllNic;
}

abi::Register translate(const abi::LegacyRequest& r, std::string* name) {
  abi::Register reg{};
  reg.nr_tx_slots = r.nr_tx_slots;
  reg.nr_rx_slots = r.nr_rx_slots;
  reg.nr_tx_rings = r.nr_tx_rings;
  reg.nr_rx_rings = r.nr_rx_rings;
  reg.nr_mem_id = r.nr_arg2;
  reg.nr_extra_bufs = r.nr_arg3;
  reg.nr_mode = mode_of(r);
  reg.nr_ringid = r.nr_ringid & abi::kLegacyRingMask;
  reg.nr_flags = r.nr_flags & ~std::uint64_t{abi::kLegacyModeMask};
  if ((r.nr_ringid & abi::kLegacyNoTxPoll) != 0) reg.nr_flags |= abi::kNoTxPoll;
  if ((r.nr_ringid & abi::kLegacyDoRxPoll) != 0) reg.nr_flags |= abi::kDoRxPoll;
  if (reg.nr_mode == abi::kModePipeMaster || reg.nr_mode == abi::kModePipeSlave) {
    *name += reg.nr_mode == abi::kModePipeMaster ? '{' : '}';
    *name += std::to_string(reg.nr_ringid);
    reg.nr_mode = abi::kModeAllNic;
    reg.nr_ringid = 0;
  }
  return reg;
}

int register_legacy(std::uint32_t descriptor, abi::LegacyRequest* r) {
  std::string name = name_in(*r);
  abi::Register reg = translate(*r, &name);
  if (const int failed = bind(descriptor, name, &reg, {}); failed != 0) return failed;
  r->nr_offset = static_cast<std::uint32_t>(reg.nr_offset);
  r->nr_memsize = static_cast<std::uint32_t>(reg.nr_memsize);
  r->nr_tx_slots = reg.nr_tx_slots;
  r->nr_rx_slots = reg.nr_rx_slots;
  r->nr_tx_rings = reg.nr_tx_rings;
  r->nr_rx_rings = reg.nr_rx_rings;
  r->nr_arg2 = reg.nr_mem_id;
  r->nr_arg3 = reg.nr_extra_bufs;
  return 0;
}

int attach_legacy(const std::string& name, const abi::LegacyRequest& r) {
  abi::ValeAttach attach{};
  attach.reg.nr_mode = (r.nr_arg1 & kBindHost) != 0 ? abi::kModeNicSw : abi::kModeAllNic;
  attach.reg.nr_mem_id = r.nr_arg2;
  return attach_to_switch(name, &attach);
}

int newif_legacy(const std::string& name, abi::LegacyRequest* r) {
  abi::ValeNewif request{r->nr_tx_slots, r->nr_rx_slots, r->nr_tx_rings,
                         r->nr_rx_rings, r->nr_arg2,     0};
  if (const int failed = new_interface(name, &request); failed != 0) return failed;
  r->nr_tx_slots = request.nr_tx_slots;
  r->nr_rx_slots = request.nr_rx_slots;
  r->nr_tx_rings = request.nr_tx_rings;
  r->nr_rx_rings = request.nr_rx_rings;
  r->nr_arg2 = request.nr_mem_id;
  return 0;
}

int polling_legacy(const std::string& name, const abi::LegacyRequest& r, bool on) {
  abi::ValePolling polling{};
  const std::uint32_t mode = r.nr_flags & abi::kLegacyModeMask;
  if (mode != abi::kModeOneNic && mode != abi::kModeAllNic) return EINVAL;
  polling.nr_mode = mode == abi::kModeOneNic ? 2 : 1;
  polling.nr_first_cpu_id = r.nr_ringid & abi::kLegacyRingMask;
  polling.nr_num_polling_cpus = r.nr_arg1;
  return set_polling(name, polling, on);
}

int run_register(std::uint32_t descriptor, abi::LegacyRequest* r) {
  const std::string name = name_in(*r);
  abi::ValeDetach detach{};
  abi::PortHdr header{r->nr_arg1, 0};
  switch (r->nr_cmd) {
    case abi::kLegacyRegister:
      return register_legacy(descriptor, r);
    case abi::kLegacyAttach:
      return attach_legacy(name, *r);
    case abi::kLegacyDetach:
      return detach_from_switch(name, &detach);
    case abi::kLegacyVnetHdr:
      return set_header(name, header);
    case abi::kLegacyNewif:
      return newif_legacy(name, r);
    case abi::kLegacyDelif:
      return delete_interface(name);
    case abi::kLegacyPollingOn:
    case abi::kLegacyPollingOff:
      return polling_legacy(name, *r, r->nr_cmd == abi::kLegacyPollingOn);
    case abi::kLegacyVnetHdrGet: {
      const int failed = get_header(name, &header);
      if (failed == 0) r->nr_arg1 = static_cast<std::uint16_t>(header.nr_hdr_len);
      return failed;
    }
    case abi::kLegacyHostCreate:
    case abi::kLegacyHostDelete:
      return ENOMEM;
    default:
      return EINVAL;
  }
}

int list_legacy(abi::LegacyRequest* r) {
  char name[abi::kNameBytes] = {};
  name_in(*r).copy(name, sizeof name - 1);
  abi::ValeList list{r->nr_arg1, 0, r->nr_arg2};
  if (const int failed = list_ports(name, &list); failed != 0) return failed;
  r->nr_arg1 = list.nr_bridge_idx;
  r->nr_arg2 = static_cast<std::uint16_t>(list.nr_port_idx);
  std::memcpy(r->nr_name, name, sizeof r->nr_name);
  r->nr_name[sizeof r->nr_name - 1] = '\0';
  return 0;
}

int run_info(abi::LegacyRequest* r) {
  if (r->nr_cmd == abi::kLegacyList) return list_legacy(r);
  abi::PortInfo info{};
  info.nr_mem_id = r->nr_arg2;
  info.nr_tx_slots = r->nr_tx_slots;
  info.nr_rx_slots = r->nr_rx_slots;
  info.nr_tx_rings = r->nr_tx_rings;
  info.nr_rx_rings = r->nr_rx_rings;
  if (const int failed = port_info(name_in(*r), &info); failed != 0) return failed;
  r->nr_memsize = static_cast<std::uint32_t>(info.nr_memsize);
  r->nr_tx_slots = info.nr_tx_slots;
  r->nr_rx_slots = info.nr_rx_slots;
  r->nr_tx_rings = info.nr_tx_rings;
  r->nr_rx_rings = info.nr_rx_rings;
  r->nr_arg2 = info.nr_mem_id;
  return 0;
}

}  // namespace

int legacy_request(std::uint32_t descriptor, bool is_register, std::uint64_t argument) {
  if (argument == 0) return -EINVAL;
  abi::LegacyRequest r{};
  if (!copy_in(&r, argument, sizeof r)) return -EFAULT;
  if (r.nr_version < abi::kApi) return -EINVAL;
  int failed = 0;
  {
    const ControlLock lock;
    release_dead();
    failed = is_register ? run_register(descriptor, &r) : run_info(&r);
  }
  if (!copy_out(argument, &r, sizeof r)) return -EFAULT;
  return -failed;
}

}  // namespace ringway::netmap
