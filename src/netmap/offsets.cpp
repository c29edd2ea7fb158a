#include "netmap/offsets.h"

#include <cerrno>

#include "netmap/binding.h"
#include "netmap/ports.h"
#include "netmap/process.h"

namespace ringway::netmap {
namespace {

struct Wish {
  std::uint64_t mask;
  std::uint64_t most;
  std::uint64_t initial;
};

int check(const Port& port, const abi::OptOffsets& option, Wish* wish) {
  if (port.kind.load() == PortKind::kMonitor && port.zero_copy != 0) return EOPNOTSUPP;
  const std::uint32_t bits = option.nro_offset_bits;
  if (bits > 64) return EINVAL;
  wish->mask = bits == 0 || bits == 64 ? UINT64_MAX : (std::uint64_t{1} << bits) - 1;
  wish->most = option.nro_max_offset;
  wish->initial = option.nro_initial_offset;
  const std::uint32_t size = registry()->allocators[port.allocator].bufs.size;
  const bool sane = wish->most <= size && wish->most <= wish->mask && wish->initial <= wish->most;
  return sane ? 0 : EINVAL;
}

bool conflicts(const Kring& kring, const Wish& wish) {
  if (kring.offset_mask == 0) return false;
  return wish.mask > kring.offset_mask || wish.most > kring.max_offset;
}

void apply(Kring& kring, const Wish& wish) {
  abi::Ring& ring = *ring_of(kring);
  kring.max_offset = wish.most;
  kring.offset_mask = wish.mask;
  ring.offset_mask = wish.mask;
  if (kring.users != 1) return;
  for (std::uint32_t i = 0; i < kring.slots; ++i) {
    std::uint64_t& ptr = ring.slots()[i].ptr;
    ptr = (ptr & ~wish.mask) | wish.initial;
  }
}

}  // namespace

int set_offsets(const Descriptor& d, abi::OptOffsets* option) {
  Wish wish{};
  int failed = check(port_at(d.port), *option, &wish);
  const auto each = [&](auto visit) {
    for (std::uint32_t i = d.tx_first; i < d.tx_last; ++i) visit(kring_of(d, true, i));
    for (std::uint32_t i = d.rx_first; i < d.rx_last; ++i) visit(kring_of(d, false, i));
  };
  if (failed == 0) {
    each([&](Kring& kring) {
      if (conflicts(kring, wish)) failed = EBUSY;
    });
  }
  if (failed == 0) {
    each([&](Kring& kring) {
      if (kring.ring != 0 && kring.offset_mask == 0) apply(kring, wish);
    });
  }
  option->nro_opt.nro_status = static_cast<std::uint32_t>(failed);
  return failed;
}

}  // namespace ringway::netmap
