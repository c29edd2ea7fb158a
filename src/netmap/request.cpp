#include "netmap/request.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/sys.h"
#include "netmap/binding.h"
#include "netmap/options.h"
#include "netmap/ports.h"
#include "netmap/process.h"

namespace ringway::netmap {
namespace {

namespace sys = base::sys;

std::size_t body_bytes(std::uint16_t type) {
  switch (type) {
    case abi::kReqRegister:
      return sizeof(abi::Register);
    case abi::kReqPortInfoGet:
      return sizeof(abi::PortInfo);
    case abi::kReqValeAttach:
      return sizeof(abi::ValeAttach);
    case abi::kReqValeDetach:
      return sizeof(abi::ValeDetach);
    case abi::kReqValeList:
      return sizeof(abi::ValeList);
    case abi::kReqPortHdrSet:
    case abi::kReqPortHdrGet:
      return sizeof(abi::PortHdr);
    case abi::kReqValeNewif:
      return sizeof(abi::ValeNewif);
    case abi::kReqPollingEnable:
    case abi::kReqPollingDisable:
      return sizeof(abi::ValePolling);
    case abi::kReqPoolsInfoGet:
      return sizeof(abi::PoolsInfo);
    case abi::kReqKloopStart:
      return sizeof(abi::KloopStart);
    default:
      return 0;
  }
}

union Body {
  abi::Register reg;
  abi::PortInfo info;
  abi::ValeAttach attach;
  abi::ValeDetach detach;
  abi::ValeList list;
  abi::PortHdr hdr;
  abi::ValeNewif newif;
  abi::ValePolling polling;
  abi::PoolsInfo pools;
  abi::KloopStart kloop;
};

struct Call {
  std::uint32_t descriptor;
  abi::Header header;
  Body body;
  OptionList options;
  std::string_view name() const { return header.nr_name; }
};

int register_port(Call& call) {
  const ControlLock lock;
  release_dead();
  RegisterOptions options;
  options.extmem = call.options.find<abi::OptExtmem>(abi::kOptExtmem);
  options.csb = call.options.find<abi::OptCsb>(abi::kOptCsb);
  options.offsets = call.options.find<abi::OptOffsets>(abi::kOptOffsets);
  abi::Register reply = call.body.reg;
  const int failed = bind(call.descriptor, call.name(), &reply, options);
  if (failed != 0) return failed;
  if (call.options.any_left()) {
    unbind(descriptor_at(call.descriptor));
    return EOPNOTSUPP;
  }
  call.body.reg = reply;
  return 0;
}

int enable_csb_of(Call& call) {
  auto* option = call.options.find<abi::OptCsb>(abi::kOptCsb);
  if (option == nullptr) return EINVAL;
  const ControlLock lock;
  Descriptor& d = descriptor_at(call.descriptor);
  const int failed = d.state.load() == State::kBound ? enable_csb(d, *option) : 0;
  option->nro_opt.nro_status = static_cast<std::uint32_t>(failed);
  return failed;
}

int start_kloop(Call& call) {
  Descriptor& d = descriptor_at(call.descriptor);
  if (const int failed = may_start_kloop(d, call.body.kloop); failed != 0) return failed;
  KloopOptions chosen;
  if (auto* mode = call.options.find<abi::OptKloopMode>(abi::kOptKloopMode); mode != nullptr) {
    constexpr std::uint32_t kKnown = 3;
    const int wrong = (mode->mode & ~kKnown) != 0 ? EINVAL : 0;
    mode->nro_opt.nro_status = static_cast<std::uint32_t>(wrong);
    if (wrong != 0) return wrong;
    chosen.mode = mode->mode;
  }
  if (auto* entry = call.options.entry_of(abi::kOptKloopEventfds); entry != nullptr) {
    const std::uint32_t rings = d.tx_last - d.tx_first + d.rx_last - d.rx_first;
    const bool fits =
        entry->header().nro_size == sizeof(abi::OptionHeader) + rings * sizeof(KloopEventfds);
    const auto* fds = reinterpret_cast<const KloopEventfds*>(entry->words.data() + 3);
    const bool valid =
        fits && (chosen.mode == 0 || std::all_of(fds, fds + rings, [](const KloopEventfds& f) {
                   return f.ioeventfd >= 0;
                 }));
    entry->header().nro_status = valid ? 0 : EINVAL;
    if (!valid) return EINVAL;
    chosen.eventfds = fds;
  }
  return run_kloop(d, call.body.kloop, chosen);
}

int run_locked(Call& call) {
  const ControlLock lock;
  release_dead();
  switch (call.header.nr_reqtype) {
    case abi::kReqPortInfoGet:
      return port_info(call.name(), &call.body.info);
    case abi::kReqPoolsInfoGet:
      return pools_info(call.name(), &call.body.pools);
    case abi::kReqPortHdrSet:
      return set_header(call.name(), call.body.hdr);
    case abi::kReqPortHdrGet:
      return get_header(call.name(), &call.body.hdr);
    case abi::kReqValeAttach:
      return attach_to_switch(call.name(), &call.body.attach);
    case abi::kReqValeDetach:
      return detach_from_switch(call.name(), &call.body.detach);
    case abi::kReqValeList:
      return list_ports(call.header.nr_name, &call.body.list);
    case abi::kReqValeNewif:
      return new_interface(call.name(), &call.body.newif);
    case abi::kReqValeDelif:
      return delete_interface(call.name());
    case abi::kReqPollingEnable:
      return set_polling(call.name(), call.body.polling, true);
    case abi::kReqPollingDisable:
      return set_polling(call.name(), call.body.polling, false);
    default:
      return EINVAL;
  }
}

int run(Call& call) {
  switch (call.header.nr_reqtype) {
    case abi::kReqRegister:
      return register_port(call);
    case abi::kReqCsbEnable:
      return enable_csb_of(call);
    case abi::kReqKloopStart:
      return start_kloop(call);
    case abi::kReqKloopStop:
      return stop_kloop(descriptor_at(call.descriptor));
    default:
      return run_locked(call);
  }
}

int check_header(const abi::Header& header) {
  if (header.nr_version < abi::kApi || header.nr_version > abi::kMaxApi) return EINVAL;
  if (header.nr_reserved != 0) return EINVAL;
  if (header.nr_reqtype == 0 || header.nr_reqtype > abi::kReqCsbEnable) return EINVAL;
  const bool wants_body = body_bytes(header.nr_reqtype) != 0;
  return wants_body == (header.nr_body != 0) ? 0 : EINVAL;
}

}  // namespace

bool copy_in(void* to, std::uint64_t from, std::size_t bytes) {
  iovec local{to, bytes};
  iovec remote{reinterpret_cast<void*>(from), bytes};
  return sys::raw(SYS_process_vm_readv, sys::getpid(), reinterpret_cast<long>(&local), 1,
                  reinterpret_cast<long>(&remote), 1, 0) == static_cast<long>(bytes);
}

bool copy_out(std::uint64_t to, const void* from, std::size_t bytes) {
  iovec local{const_cast<void*>(from), bytes};
  iovec remote{reinterpret_cast<void*>(to), bytes};
  return sys::raw(SYS_process_vm_writev, sys::getpid(), reinterpret_cast<long>(&local), 1,
                  reinterpret_cast<long>(&remote), 1, 0) == static_cast<long>(bytes);
}

int control_request(std::uint32_t descriptor, std::uint64_t argument) {
  if (argument == 0) return -EINVAL;
  Call call{};
  call.descriptor = descriptor;
  if (!copy_in(&call.header, argument, sizeof call.header)) return -EFAULT;
  call.header.nr_name[abi::kNameBytes - 1] = '\0';
  if (const int wrong = check_header(call.header); wrong != 0) return -wrong;
  const std::size_t bytes = body_bytes(call.header.nr_reqtype);
  if (bytes != 0 && !copy_in(&call.body, call.header.nr_body, bytes)) return -EFAULT;
  int failed = call.options.read(call.header.nr_options, bytes);
  if (failed == 0) failed = run(call);
  if (failed == 0 && bytes != 0 && !copy_out(call.header.nr_body, &call.body, bytes)) {
    failed = EFAULT;
  }
  call.options.write_back(failed == 0);
  copy_out(argument, &call.header, sizeof call.header);
  return -failed;
}

}  // namespace ringway::netmap
