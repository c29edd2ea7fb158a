#include "netmap/binding.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netmap/allocator.h"
#include "netmap/device.h"
#include "netmap/extmem.h"
#include "netmap/offsets.h"
#include "netmap/ports.h"
#include "netmap/process.h"

namespace ringway::netmap {

Descriptor& descriptor_at(std::uint32_t index) { return registry()->descriptors[index]; }

Kring& kring_of(const Descriptor& d, bool is_tx, std::uint32_t index) {
  return kring_at(port_at(d.port), is_tx, index);
}

std::uint32_t new_descriptor() {
  Registry& r = *registry();
  for (std::uint32_t i = 0; i < kMaxDescriptors; ++i) {
    Descriptor& d = r.descriptors[i];
    if (d.state.load() != State::kFree) continue;
    std::memset(static_cast<void*>(&d), 0, sizeof d);
    d.state.store(State::kOpen);
    r.descriptor_limit = std::max(r.descriptor_limit, i + 1);
    return i;
  }
  return kNone;
}

namespace {

template <typename Visit>
void for_rings(const Descriptor& d, Visit visit) {
  for (std::uint32_t i = d.tx_first; i < d.tx_last; ++i) visit(kring_of(d, true, i));
  for (std::uint32_t i = d.rx_first; i < d.rx_last; ++i) visit(kring_of(d, false, i));
}

/// NR_EXCLUSIVE is per ring: nobody else may be there, in either order.
bool may_use(const Descriptor& d, bool exclusive) {
  bool free = true;
  for_rings(d, [&](const Kring& kring) {
    free = free && kring.exclusive == 0 && (!exclusive || kring.users == 0);
  });
  return free;
}

void use_rings(const Descriptor& d, std::uint32_t index, bool exclusive) {
  for_rings(d, [&](Kring& kring) {
    ++kring.users;
    if (exclusive) kring.exclusive = index + 1;
  });
}

void leave_rings(const Descriptor& d, std::uint32_t index) {
  for_rings(d, [&](Kring& kring) {
    --kring.users;
    if (kring.exclusive == index + 1) kring.exclusive = 0;
  });
}

/// Offsets of the rings from the netmap_if; 0 for those that are not bound.
void write_offsets(const Descriptor& d, const Port& port, abi::If* nifp) {
  std::int64_t* out = nifp->ring_ofs();
  const auto put = [&](bool is_tx, std::uint32_t i, bool bound) {
    const Kring* kring = bound ? &kring_at(port, is_tx, i) : nullptr;
    *out++ = kring == nullptr
                 ? 0
                 : static_cast<std::int64_t>(kring->ring) -
                       static_cast<std::int64_t>(span_of(port.allocator) + d.netmap_if);
  };
  const std::uint32_t fake_tx = port.host_tx == 0 ? 1 : 0;
  const std::uint32_t fake_rx = port.host_rx == 0 ? 1 : 0;
  for (std::uint32_t i = 0; i < port.tx_all(); ++i) put(true, i, i >= d.tx_first && i < d.tx_last);
  if (fake_tx != 0) put(true, 0, false);
  for (std::uint32_t i = 0; i < port.rx_all(); ++i) {
    put(false, i, i >= d.rx_first && i < d.rx_last);
  }
  if (fake_rx != 0) put(false, 0, false);
}

int make_if(Descriptor& d, const Port& port) {
  Allocator& memory = registry()->allocators[port.allocator];
  const std::uint32_t entries =
      port.tx_rings + std::max(1U, port.host_tx) + port.rx_rings + std::max(1U, port.host_rx);
  if (sizeof(abi::If) + entries * sizeof(std::int64_t) > memory.ifs.size) return ENOMEM;
  const std::uint32_t object = take(port.allocator, memory.ifs);
  if (object == kNone) return ENOMEM;
  d.netmap_if = memory.ifs.offset + std::uint64_t{object} * memory.ifs.size;
  auto* nifp = reinterpret_cast<abi::If*>(at(span_of(port.allocator) + d.netmap_if));
  std::memset(static_cast<void*>(nifp), 0, memory.ifs.size);
  name_of(port).copy(nifp->ni_name, sizeof nifp->ni_name - 1);
  nifp->ni_tx_rings = port.tx_rings;
  nifp->ni_rx_rings = port.rx_rings;
  nifp->ni_host_tx_rings = std::max(1U, port.host_tx);
  nifp->ni_host_rx_rings = std::max(1U, port.host_rx);
  nifp->ni_flags = memory.is_private != 0 ? abi::kIfPrivateMemory : 0;
  write_offsets(d, port, nifp);
  return 0;
}

abi::If* if_of(const Descriptor& d) {
  return reinterpret_cast<abi::If*>(at(span_of(port_at(d.port).allocator) + d.netmap_if));
}

std::uint32_t* first_word(std::uint32_t allocator, std::uint32_t buffer) {
  const Pool& bufs = registry()->allocators[allocator].bufs;
  return reinterpret_cast<std::uint32_t*>(
      at(span_of(allocator) + bufs.offset + std::uint64_t{buffer} * bufs.size));
}

/// A list through the first word of each buffer. Grants what there is.
std::uint32_t take_extra(const Descriptor& d, std::uint32_t wanted) {
  const std::uint32_t allocator = port_at(d.port).allocator;
  Pool& bufs = registry()->allocators[allocator].bufs;
  std::uint32_t head = 0;
  std::uint32_t granted = 0;
  for (; granted < wanted; ++granted) {
    const std::uint32_t buffer = take(allocator, bufs);
    if (buffer == kNone) break;
    *first_word(allocator, buffer) = head;
    head = buffer;
  }
  if_of(d)->ni_bufs_head = head;
  return granted;
}

/// The program wrote the list: every link is checked, and no more are followed than there are.
void give_extra(const Descriptor& d) {
  const std::uint32_t allocator = port_at(d.port).allocator;
  Pool& bufs = registry()->allocators[allocator].bufs;
  std::uint32_t buffer = if_of(d)->ni_bufs_head;
  for (std::uint32_t i = 0; i < bufs.total && buffer >= 2 && buffer < bufs.total; ++i) {
    const std::uint32_t following = *first_word(allocator, buffer);
    give(allocator, bufs, buffer);
    buffer = following;
  }
}

void give_if(const Descriptor& d) {
  const std::uint32_t allocator = port_at(d.port).allocator;
  Pool& ifs = registry()->allocators[allocator].ifs;
  give(allocator, ifs, static_cast<std::uint32_t>((d.netmap_if - ifs.offset) / ifs.size));
}

void fill_reply(const Port& port, const Descriptor& d, abi::Register* request) {
  request->nr_offset = d.netmap_if;
  request->nr_memsize = registry()->allocators[port.allocator].bytes;
  request->nr_tx_slots = port.tx_slots;
  request->nr_rx_slots = port.rx_slots;
  request->nr_tx_rings = static_cast<std::uint16_t>(port.tx_rings);
  request->nr_rx_rings = static_cast<std::uint16_t>(port.rx_rings);
  request->nr_host_tx_rings = static_cast<std::uint16_t>(port.host_tx);
  request->nr_host_rx_rings = static_cast<std::uint16_t>(port.host_rx);
  request->nr_mem_id = mem_id_of(port.allocator);
  if ((request->nr_flags & abi::kZcopyMonitor) != 0) {
    request->nr_flags |= abi::kMonitorTx | abi::kMonitorRx;
  }
}

int check_port(const Port& port, const abi::Register& request) {
  if (port.kind.load() == PortKind::kDevice && port.attached != 0) return EBUSY;
  if (port.header_bytes != 0 && (request.nr_flags & abi::kAcceptVnetHdr) == 0) return EIO;
  return 0;
}

/// A monitor's own rings are all bound, whatever rings of the other port it looks at.
int select_for(const Port& port, const abi::Register& request, Descriptor& d) {
  Selection s{};
  const bool is_monitor = port.kind.load() == PortKind::kMonitor;
  const std::uint32_t mode = is_monitor ? std::uint32_t{abi::kModeNicSw} : request.nr_mode;
  if (is_monitor) {
    s = {0, port.tx_all(), 0, port.rx_all()};
  } else if (const int wrong = select_rings(port, mode, request.nr_ringid, request.nr_flags, &s);
             wrong != 0) {
    return wrong;
  }
  const bool mtu_fits = port.kind.load() != PortKind::kDevice || s.rx_first == s.rx_last ||
                        port.mtu <= registry()->allocators[port.allocator].bufs.size;
  if (!mtu_fits) return EINVAL;
  d.tx_first = s.tx_first;
  d.tx_last = s.tx_last;
  d.rx_first = s.rx_first;
  d.rx_last = s.rx_last;
  return 0;
}

int finish_bind(std::uint32_t index, abi::Register* request, const RegisterOptions& options) {
  Descriptor& d = descriptor_at(index);
  Port& port = port_at(d.port);
  const bool exclusive = (request->nr_flags & abi::kExclusive) != 0;
  if (port.kind.load() == PortKind::kDevice) {
    if (const int failed = open_interface(d.port); failed != 0) return failed;
  }
  if (const int failed = bring_up(d.port); failed != 0) return failed;
  if (!may_use(d, exclusive)) return EBUSY;
  if (const int failed = make_if(d, port); failed != 0) return failed;
  use_rings(d, index, exclusive);
  ++port.descriptors;
  d.mode = request->nr_mode;
  d.ringid = request->nr_ringid;
  d.flags = request->nr_flags;
  request->nr_extra_bufs = take_extra(d, request->nr_extra_bufs);
  d.state.store(State::kBound);
  int failed = 0;
  if (options.offsets != nullptr) failed = set_offsets(d, options.offsets);
  if (failed == 0 && options.csb != nullptr) {
    failed = enable_csb(d, *options.csb);
    options.csb->nro_opt.nro_status = static_cast<std::uint32_t>(failed);
  }
  if (failed != 0) return failed;
  fill_reply(port, d, request);
  return 0;
}

}  // namespace

int bind(std::uint32_t index, std::string_view name, abi::Register* request,
         const RegisterOptions& options) {
  Descriptor& d = descriptor_at(index);
  if (d.state.load() != State::kOpen) return EBUSY;
  std::uint32_t allocator = kNone;
  if (options.extmem != nullptr) {
    const int failed = make_extmem(options.extmem, &allocator);
    options.extmem->nro_opt.nro_status = static_cast<std::uint32_t>(failed);
    if (failed != 0) return failed;
  }
  std::uint32_t found = kNone;
  int failed = resolve(name, *request, allocator, &found);
  if (failed == 0) {
    d.port = found;
    failed = check_port(port_at(found), *request);
    if (failed == 0) failed = select_for(port_at(found), *request, d);
    if (failed == 0) failed = finish_bind(index, request, options);
    if (failed != 0 && d.state.load() == State::kBound) {
      unbind(d);
    } else if (failed != 0) {
      bring_down_if_unused(found);
      end_if_unused(found);
    }
  }
  if (allocator != kNone) drop_allocator(allocator);
  return failed;
}

void unbind(Descriptor& d) {
  const auto index = static_cast<std::uint32_t>(&d - registry()->descriptors.data());
  Port& port = port_at(d.port);
  give_extra(d);
  give_if(d);
  leave_rings(d, index);
  --port.descriptors;
  d.csb.store(0);
  d.state.store(State::kOpen);
  bring_down_if_unused(d.port);
  end_if_unused(d.port);
}

void release(std::uint32_t index) {
  Descriptor& d = descriptor_at(index);
  if (d.state.load() == State::kBound) unbind(d);
  d.state.store(State::kFree);
}

void release_dead() {
  Registry& r = *registry();
  for (std::uint32_t i = 0; i < r.descriptor_limit; ++i) {
    if (r.descriptors[i].state.load() != State::kFree && !is_held(i)) release(i);
  }
}

void closed(std::uint32_t index) {
  if (is_held(index)) return;
  const ControlLock lock;
  const bool open = descriptor_at(index).state.load() != State::kFree;
  if (open && !is_held(index)) release(index);
}

void tidy_up() {
  static std::atomic<std::int64_t> last{0};
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  std::int64_t before = last.load(std::memory_order_relaxed);
  if (now.tv_sec == before || !last.compare_exchange_strong(before, now.tv_sec)) return;
  const ControlLock lock;
  release_dead();
}

int enable_csb(Descriptor& d, const abi::OptCsb& option) {
  if (d.looping.load() != 0) return EBUSY;
  if ((d.flags & abi::kExclusive) == 0) return EINVAL;
  if (option.csb_atok % 64 != 0 || option.csb_ktoa % 64 != 0) return EINVAL;
  const std::uint32_t count = d.tx_last - d.tx_first + d.rx_last - d.rx_first;
  const auto bytes = static_cast<std::uint32_t>(count * sizeof(abi::CsbAtok));
  if (!is_writable(option.csb_atok, bytes) || !is_writable(option.csb_ktoa, bytes)) return EFAULT;
  auto* atok = reinterpret_cast<abi::CsbAtok*>(option.csb_atok);
  auto* ktoa = reinterpret_cast<abi::CsbKtoa*>(option.csb_ktoa);
  for_rings(d, [&](const Kring& kring) {
    const abi::Ring* ring = kring.ring != 0 ? ring_of(kring) : nullptr;
    *atok++ = {ring != nullptr ? ring->head : 0, ring != nullptr ? ring->cur : 0, 1, 1, {}};
    *ktoa++ = {kring.hwcur.load(), kring.tail, 1, {}};
  });
  d.csb_atok = option.csb_atok;
  d.csb_ktoa = option.csb_ktoa;
  d.csb.store(1);
  return 0;
}

}  // namespace ringway::netmap
