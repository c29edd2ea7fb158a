#include "tests/scenario/stack_wire.h"

#include <algorithm>
#include <cstdlib>

#include "base/bytes.h"

namespace ringway::scenario {
namespace {

constexpr std::uint32_t kEthernet = 14;

/// Where the headers of a TCP frame are.
struct TcpFrame {
  bool v6;
  std::uint32_t tcp;      ///< offset of the TCP header
  std::uint32_t payload;  ///< offset of the payload
};

TcpFrame find_headers(const std::vector<std::byte>& frame) {
  TcpFrame f{};
  f.v6 = base::load_be16(frame.data() + 12) == 0x86dd;
  f.tcp = kEthernet + (f.v6 ? 40U : 20U);
  f.payload = f.tcp + (base::load_u8(frame.data() + f.tcp + 12) >> 4) * 4U;
  return f;
}

}  // namespace

StackWire::StackWire(std::array<driver::LinkEnd, 2> ends,
                     const std::array<port::FaultOptions, 2>& faults)
    : sides_{Side(faults[0]), Side(faults[1])} {
  driver::LinkOptions options;
  options.offload = true;
  for (unsigned i = 0; i < 2; ++i) {
    auto port = driver::LinkPort::open(std::move(ends[i]), options, pool_.pool());
    if (!port) std::abort();
    sides_[i].port = std::move(*port);
  }
}

base::Instant StackWire::next_event() const {
  base::Instant next = base::Instant::never();
  for (const Side& side : sides_) {
    if (side.port->has_input()) return last_;
    if (!side.arriving.empty()) next = std::min(next, side.arriving.top().at);
  }
  return next;
}

void StackWire::act(base::Instant now) {
  last_ = now;
  for (unsigned i = 0; i < 2; ++i) take(i, now);
  for (Side& side : sides_) deliver(side, now);
}

void StackWire::take(unsigned side, base::Instant now) {
  mem::FrameDesc desc;
  while (sides_[side].port->rx_burst({&desc, 1}) == 1) {
    auto frame = pool_.take({&desc, 1});
    const bool whole = (desc.flags & (mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6)) != 0;
    if (whole && desc.gso_size != 0) {
      cut(side, frame, desc.gso_size, now);
    } else {
      launch(side, std::move(frame), now);
    }
  }
}

// Each piece has the headers of the whole; FIN and PSH go with the last.
void StackWire::cut(unsigned side, const std::vector<std::byte>& frame, std::uint32_t segment,
                    base::Instant now) {
  const TcpFrame f = find_headers(frame);
  const auto end = static_cast<std::uint32_t>(frame.size());
  const std::uint32_t seq = base::load_be32(frame.data() + f.tcp + 4);
  for (std::uint32_t at = f.payload; at < end; at += segment) {
    const std::uint32_t n = std::min(segment, end - at);
    std::vector<std::byte> piece(frame.begin(), frame.begin() + f.payload);
    piece.insert(piece.end(), frame.begin() + at, frame.begin() + at + n);
    const auto length = static_cast<std::uint16_t>(piece.size() - kEthernet);
    if (f.v6) {
      base::store_be16(piece.data() + kEthernet + 4, static_cast<std::uint16_t>(length - 40U));
    } else {
      base::store_be16(piece.data() + kEthernet + 2, length);
    }
    base::store_be32(piece.data() + f.tcp + 4, seq + at - f.payload);
    if (at + n < end) piece[f.tcp + 13] &= std::byte{0xf6};
    launch(side, std::move(piece), now);
  }
}

void StackWire::launch(unsigned side, std::vector<std::byte> frame, base::Instant now) {
  if (capture_ != nullptr) capture_->write(now, frame);
  const port::Fate fate = sides_[side].faults.decide(now, static_cast<std::uint32_t>(frame.size()));
  for (std::uint32_t i = 0; i < fate.copies; ++i) {
    sides_[1 - side].arriving.push({fate.at[i], launched_++, frame});
  }
}

// What finds no room is lost, as in any router.
void StackWire::deliver(Side& side, base::Instant now) {
  while (!side.arriving.empty() && side.arriving.top().at <= now) {
    mem::FrameDesc desc = pool_.frame(side.arriving.top().bytes);
    side.arriving.pop();
    if (side.port->tx_burst({&desc, 1}) == 0) pool_.pool().free(desc.slot);
  }
}

}  // namespace ringway::scenario
