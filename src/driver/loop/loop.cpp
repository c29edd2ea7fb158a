#include "driver/loop/loop.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <vector>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "port/packet.h"

namespace ringway::driver {
namespace {

using mem::FrameDesc;

constexpr std::uint8_t kOffloadFlags =
    mem::kFrameCsumNeeded | mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6;

/// A frame on the wire, which is the memory of neither side.
struct Flying {
  std::vector<std::byte> bytes;
  FrameDesc known;  ///< flags, gso_size, l4_offset, flow_hash
};

/// One direction. Frames whose time has come wait in `ready`, in the order of their arrival.
struct Direction {
  explicit Direction(const port::FaultOptions& options) : faults(options) {}

  port::FaultModel faults;
  std::multimap<base::Instant, Flying> flying;  // equal times keep the order of insertion
  std::deque<Flying> ready;
};

struct Wire {
  Wire(const port::FaultOptions& forth, const port::FaultOptions& back)
      : directions{Direction(forth), Direction(back)} {}
  std::array<Direction, 2> directions;
};

class LoopPort final : public port::Port {
 public:
  /// Sends into direction `out` of the wire and receives from direction `in`.
  struct Side {
    int out;
    int in;
  };
  LoopPort(std::shared_ptr<Wire> wire, Side side, const LoopOptions& options, mem::FramePool& pool)
      : wire_(std::move(wire)),
        in_(wire_->directions[side.in]),
        out_(wire_->directions[side.out]),
        pool_(pool),
        size_(options.size) {
    caps_.mac = {{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(side.out + 1)}};
    caps_.mtu = options.mtu;
    caps_.max_frame = options.offload ? UINT16_MAX : options.mtu + 14U;
    caps_.tx_checksum = caps_.tx_gso = caps_.rx_checksum_trusted = options.offload;
  }

  std::string_view name() const override { return "loop"; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<FrameDesc> out) override;
  std::size_t tx_burst(std::span<const FrameDesc> packets) override;
  base::Result<int> arm() override;
  void advance(base::Instant now) override;
  base::Instant next_deadline() const override {
    return in_.flying.empty() ? base::Instant::never() : in_.flying.begin()->first;
  }

 private:
  bool receive(Flying& frame, FrameDesc& desc);
  bool sendable(std::span<const FrameDesc> packet) const;
  void send(std::span<const FrameDesc> packet);
  void ring();

  std::shared_ptr<Wire> wire_;
  Direction& in_;
  Direction& out_;
  mem::FramePool& pool_;
  std::uint32_t size_;
  base::Instant now_{};
  port::Caps caps_;
  base::UniqueFd bell_;  // readable while in_.ready has something, as of the last call
  bool ringing_ = false;

 public:
  /// The other side, as long as it is open.
  LoopPort* peer = nullptr;
  ~LoopPort() override {
    if (peer != nullptr) peer->peer = nullptr;
  }
  LoopPort(const LoopPort&) = delete;
  LoopPort& operator=(const LoopPort&) = delete;
};

bool LoopPort::receive(Flying& frame, FrameDesc& desc) {
  desc = frame.known;
  desc.slot = pool_.allocate();
  desc.offset = static_cast<std::uint16_t>(mem::coloured_headroom(desc.slot));
  desc.length = static_cast<std::uint16_t>(frame.bytes.size());
  if (desc.offset + frame.bytes.size() > pool_.slot_size()) {
    ++counters_.rx_too_long;
    pool_.free(desc.slot);
    return false;
  }
  std::memcpy(pool_.data(desc.slot) + desc.offset, frame.bytes.data(), frame.bytes.size());
  ++counters_.rx_frames;
  counters_.rx_bytes += desc.length;
  return true;
}

std::size_t LoopPort::rx_burst(std::span<FrameDesc> out) {
  std::size_t n = 0;
  while (n < out.size() && !in_.ready.empty()) {
    if (pool_.free_count() == 0) {
      ++counters_.rx_no_frame;
      break;
    }
    n += receive(in_.ready.front(), out[n]) ? 1 : 0;
    in_.ready.pop_front();
  }
  ring();
  return n;
}

bool LoopPort::sendable(std::span<const FrameDesc> packet) const {
  std::uint8_t flags = 0;
  for (const FrameDesc& piece : packet) flags |= piece.flags;
  const std::uint32_t length = port::length_of(packet);
  const std::uint32_t plain = caps_.mtu + 14U;
  const bool whole = (flags & (mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6)) != 0;
  return port::lies_within(pool_, packet) && length <= caps_.max_frame &&
         (caps_.tx_checksum || (flags & kOffloadFlags) == 0) && (whole || length <= plain);
}

void LoopPort::send(std::span<const FrameDesc> packet) {
  Flying frame;
  frame.known = packet.front();
  frame.known.flags &= kOffloadFlags;
  if (caps_.tx_checksum) frame.known.flags |= mem::kFrameCsumOk;
  for (const FrameDesc& piece : packet) {
    const std::byte* from = pool_.data(piece.slot) + piece.offset;
    frame.bytes.insert(frame.bytes.end(), from, from + piece.length);
  }
  ++counters_.tx_frames;
  counters_.tx_bytes += frame.bytes.size();
  const port::Fate fate = out_.faults.decide(now_, static_cast<std::uint32_t>(frame.bytes.size()));
  port::corrupt(frame.bytes, fate);
  // A damaged frame is found out only by its checksum.
  if (fate.corrupt_bit >= 0) frame.known.flags &= static_cast<std::uint8_t>(~mem::kFrameCsumOk);
  for (std::uint32_t copy = 0; copy < fate.copies; ++copy) {
    if (fate.at[copy] <= now_) {
      out_.ready.push_back(frame);
    } else {
      out_.flying.emplace(fate.at[copy], frame);
    }
  }
}

std::size_t LoopPort::tx_burst(std::span<const FrameDesc> packets) {
  std::size_t taken = 0;
  while (taken < packets.size() && out_.ready.size() < size_) {
    const std::size_t pieces = port::pieces_of(packets.subspan(taken));
    if (pieces == 0) break;
    const auto packet = packets.subspan(taken, pieces);
    if (sendable(packet)) {
      send(packet);
    } else {
      ++counters_.tx_bad;
    }
    port::free_packet(pool_, packet);
    taken += pieces;
  }
  if (peer != nullptr) peer->ring();
  return taken;
}

base::Result<int> LoopPort::arm() {
  if (!bell_) {
    bell_.reset(base::sys::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!bell_) return base::fail_errno("no eventfd for a loop port");
  }
  ring();
  return bell_.get();
}

void LoopPort::ring() {
  if (!bell_ || ringing_ == !in_.ready.empty()) return;
  ringing_ = !ringing_;
  std::uint64_t value = 1;
  const ssize_t done = ringing_ ? base::sys::write(bell_.get(), &value, sizeof value)
                                : base::sys::read(bell_.get(), &value, sizeof value);
  static_cast<void>(done);  // neither can fail: the counter is 0 or 1
}

void LoopPort::advance(base::Instant now) {
  now_ = std::max(now_, now);
  while (!in_.flying.empty() && in_.flying.begin()->first <= now_) {
    if (in_.ready.size() < size_) {
      in_.ready.push_back(std::move(in_.flying.begin()->second));
    } else {
      ++counters_.rx_no_frame;
    }
    in_.flying.erase(in_.flying.begin());
  }
  ring();
}

}  // namespace

base::Result<LoopOptions> LoopOptions::parse(const port::Spec& spec) {
  if (!spec.name.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a loop port has no name; expected loop:KEY=VALUE,... and not " + spec.name);
  }
  const auto values = port::SpecValues::read(spec, kLoopOptions);
  if (!values) return tl::unexpected(values.error());
  LoopOptions options;
  options.faults = port::fault_options(*values);
  constexpr std::size_t kOwn = port::kFaultOptions.size();
  options.size = static_cast<std::uint32_t>(values->number(kOwn));
  options.mtu = static_cast<std::uint16_t>(values->number(kOwn + 1));
  options.offload = values->number(kOwn + 2) != 0;
  return options;
}

std::pair<std::unique_ptr<port::Port>, std::unique_ptr<port::Port>> open_loop(
    const LoopOptions& options, mem::FramePool& first, mem::FramePool& second) {
  port::FaultOptions back = options.faults;
  back.seed = base::Random::mix(back.seed);
  auto wire = std::make_shared<Wire>(options.faults, back);
  auto one = std::make_unique<LoopPort>(wire, LoopPort::Side{0, 1}, options, first);
  auto two = std::make_unique<LoopPort>(wire, LoopPort::Side{1, 0}, options, second);
  one->peer = two.get();
  two->peer = one.get();
  return {std::move(one), std::move(two)};
}

std::unique_ptr<port::Port> open_loopback(const LoopOptions& options, mem::FramePool& pool) {
  auto wire = std::make_shared<Wire>(options.faults, options.faults);
  auto port = std::make_unique<LoopPort>(wire, LoopPort::Side{0, 0}, options, pool);
  port->peer = port.get();
  return port;
}

}  // namespace ringway::driver
