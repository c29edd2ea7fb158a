#include "driver/link/link_port.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>

#include "base/sys.h"
#include "port/packet.h"
#include "ring/barrier.h"

namespace ringway::driver {
namespace {

/// Locally administered; the two ends differ, so that a learning switch between links works.
constexpr base::MacAddress mac_of(bool made_here) {
  return {{0x02, 0x52, 0x57, 0, 1, static_cast<std::uint8_t>(made_here ? 1 : 2)}};
}

constexpr std::uint8_t kGsoFlags = mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6;
constexpr std::uint8_t kOffloadFlags = mem::kFrameCsumNeeded | kGsoFlags;
constexpr std::uint32_t kEthernet = 14;

port::Caps caps_of(const LinkOptions& options, bool made_here) {
  port::Caps caps;
  caps.mac = mac_of(made_here);
  caps.mtu = options.mtu;
  caps.max_frame = options.offload ? ring::SlotSender::max_frame_bytes() : options.mtu + kEthernet;
  caps.reliable = true;
  caps.neighbours_known = true;
  caps.tx_checksum = options.offload;
  caps.tx_gso = options.offload;
  caps.rx_checksum_trusted = options.offload;
  return caps;
}

base::Result<base::UniqueFd> own(base::Result<int> fd) {
  if (!fd) return tl::unexpected(fd.error());
  return base::UniqueFd(*fd);
}

base::Result<base::UniqueFd> make_doorbell() {
  base::UniqueFd bell(base::sys::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!bell) return base::fail_errno("no eventfd for a link");
  return bell;
}

}  // namespace

base::Result<std::pair<LinkEnd, LinkEnd>> make_link() {
  std::pair<LinkEnd, LinkEnd> ends;
  auto memory = own(LinkMemory::create());
  if (!memory) return tl::unexpected(memory.error());
  for (LinkEnd* end : {&ends.first, &ends.second}) {
    auto mailbox = own(MailboxMemory::create());
    if (!mailbox) return tl::unexpected(mailbox.error());
    auto doorbell = make_doorbell();
    if (!doorbell) return tl::unexpected(doorbell.error());
    end->memory = memory->duplicate();
    end->mailbox = std::move(*mailbox);
    end->doorbell = std::move(*doorbell);
  }
  for (auto [end, peer] : {std::pair{&ends.first, &ends.second}, {&ends.second, &ends.first}}) {
    end->peer_mailbox = peer->mailbox.duplicate();
    end->peer_doorbell = peer->doorbell.duplicate();
    if (!end->memory || !end->peer_mailbox || !end->peer_doorbell) {
      return base::fail_errno("no descriptor for a link");
    }
  }
  ends.second.made_here = false;
  return ends;
}

base::Result<LinkOptions> LinkOptions::parse(const port::Spec& spec) {
  using port::OptionKind;
  static constexpr std::array kTable{
      port::SpecOption{"mtu", OptionKind::kCount, 1500, 576, 33'264,
                       "largest IP packet, 576 to 33264"},
      port::SpecOption{"offload", OptionKind::kFlag, 0, 0, 1,
                       "checksums and segments are left to the peer"},
  };
  static_assert(33'264 + kEthernet <= ring::kBigFrameBytes);
  const auto values = port::SpecValues::read(spec, kTable);
  if (!values) return tl::unexpected(values.error());
  LinkOptions options;
  if (!spec.name.empty()) options.name = spec.name;
  options.mtu = static_cast<std::uint16_t>(values->number(0));
  options.offload = values->number(1) != 0;
  return options;
}

LinkPort::LinkPort(LinkEnd end, const LinkOptions& options, mem::FramePool& pool)
    : end_(std::move(end)),
      name_(options.name),
      pool_(pool),
      caps_(caps_of(options, end_.made_here)) {}

base::Result<std::unique_ptr<LinkPort>> LinkPort::open(LinkEnd end, const LinkOptions& options,
                                                       mem::FramePool& pool) {
  std::unique_ptr<LinkPort> port(new LinkPort(std::move(end), options, pool));
  if (const auto mapped = port->map(); !mapped) return tl::unexpected(mapped.error());
  return port;
}

base::Result<void> LinkPort::map() {
  auto memory = LinkMemory::map(end_.memory.get());
  if (!memory) return tl::unexpected(memory.error());
  auto mailbox = MailboxMemory::map(end_.mailbox.get());
  if (!mailbox) return tl::unexpected(mailbox.error());
  auto peer_mailbox = MailboxMemory::map(end_.peer_mailbox.get());
  if (!peer_mailbox) return tl::unexpected(peer_mailbox.error());
  memory_ = std::move(*memory);
  mailbox_ = std::move(*mailbox);
  peer_mailbox_ = std::move(*peer_mailbox);
  ring::AsymmetricBarrier::enrol();
  const unsigned out = end_.made_here ? 0 : 1;
  sender_ = ring::SlotSender(&sender_state_, &memory_.direction(out), memory_.region(out));
  receiver_ =
      ring::SlotReceiver(&receiver_state_, &memory_.direction(1 - out), memory_.region(1 - out));
  receiver_.set_hot(true);
  return {};
}

LinkPort::~LinkPort() {
  if (!receiver_.valid()) return;
  receiver_.set_hot(false);
  mailbox_.get()->sleeping.store(0, std::memory_order_release);
}

// What the peer says about checksums is for offload only; a chain is never made by a link.
bool LinkPort::accepts(const mem::FrameDesc& desc, std::uint32_t room) {
  const std::uint8_t refused =
      caps_.tx_checksum ? mem::kFrameMore : mem::kFrameMore | kOffloadFlags;
  if (desc.length == 0 || (desc.flags & refused) != 0) {
    ++counters_.rx_bad;
    return false;
  }
  if (desc.length > room) {
    ++counters_.rx_too_long;
    return false;
  }
  return true;
}

bool LinkPort::receive(std::uint32_t slot, mem::FrameDesc& out, Returns& returns) {
  const std::uint64_t bad = receiver_state_.bad_descs;
  const ring::SlotReceiver::Frame frame = receiver_.next();
  counters_.rx_bad += receiver_state_.bad_descs - bad;
  if (frame.data == nullptr) return false;
  const std::uint32_t offset = mem::coloured_headroom(slot);
  const bool good = accepts(frame.desc, pool_.slot_size() - offset);
  if (good) {
    std::memcpy(pool_.data(slot) + offset, frame.data, frame.desc.length);
    out = frame.desc;
    out.slot = slot;
    out.offset = static_cast<std::uint16_t>(offset);
    out.flags &= kOffloadFlags;
    if (caps_.rx_checksum_trusted) out.flags |= mem::kFrameCsumOk;
    ++counters_.rx_frames;
    counters_.rx_bytes += out.length;
  }
  if ((frame.desc.flags & mem::kFrameInline) == 0) {
    returns.slots[returns.count++] = frame.desc.slot;
    if (returns.count == returns.slots.size()) {
      receiver_.release(returns.slots.data(), returns.count);
      returns.count = 0;
    }
  }
  return good;
}

std::size_t LinkPort::rx_burst(std::span<mem::FrameDesc> out) {
  std::size_t n = 0;
  Returns returns;
  // Bad frames are part of the burst: a peer cannot keep us here with them.
  for (std::uint32_t looked = 0; looked < ring::kSlots && n < out.size(); ++looked) {
    if (!receiver_.ready()) break;
    const std::uint32_t slot = pool_.allocate();
    if (slot == mem::FramePool::kNone) {
      ++counters_.rx_no_frame;
      break;
    }
    if (receive(slot, out[n], returns)) {
      ++n;
    } else {
      pool_.free(slot);
    }
  }
  if (returns.count != 0) receiver_.release(returns.slots.data(), returns.count);
  if (receiver_.slots_since_publish() != 0) {
    receiver_.publish();
    ring::AsymmetricBarrier::light();
    if (receiver_.sender_waits()) wake_peer();
  }
  if (armed_ && n == 0) watch();
  return n;
}

bool LinkPort::sendable(std::span<const mem::FrameDesc> packet) const {
  std::uint8_t flags = 0;
  for (const mem::FrameDesc& piece : packet) flags |= piece.flags;
  const std::uint32_t length = port::length_of(packet);
  const bool whole = (flags & kGsoFlags) != 0;
  return port::lies_within(pool_, packet) && length <= caps_.max_frame &&
         (caps_.tx_checksum || (flags & kOffloadFlags) == 0) &&
         (whole || length <= caps_.mtu + kEthernet);
}

bool LinkPort::send(std::span<const mem::FrameDesc> packet) {
  const std::uint32_t length = port::length_of(packet);
  const ring::SlotSender::Reservation room = sender_.reserve(length);
  if (room.data == nullptr) return false;
  std::byte* to = room.data;
  for (const mem::FrameDesc& piece : packet) {
    std::memcpy(to, pool_.data(piece.slot) + piece.offset, piece.length);
    to += piece.length;
  }
  mem::FrameDesc desc = packet.front();
  desc.flags &= kOffloadFlags;
  sender_.commit(room, length, desc);
  ++counters_.tx_frames;
  counters_.tx_bytes += length;
  return true;
}

std::size_t LinkPort::tx_burst(std::span<const mem::FrameDesc> packets) {
  std::size_t taken = 0;
  const std::uint64_t before = counters_.tx_frames;
  while (taken < packets.size()) {
    const std::size_t pieces = port::pieces_of(packets.subspan(taken));
    if (pieces == 0) break;
    const auto packet = packets.subspan(taken, pieces);
    if (!sendable(packet)) {
      ++counters_.tx_bad;
    } else if (!send(packet)) {
      break;
    }
    port::free_packet(pool_, packet);
    taken += pieces;
  }
  if (counters_.tx_frames != before) {
    ring::AsymmetricBarrier::light();
    if (!sender_.receiver_is_hot()) wake_peer();
  }
  return taken;
}

void LinkPort::wake_peer() {
  if (!peer_mailbox_.get()->knock(sender_.mark_bit())) return;
  const std::uint64_t one = 1;
  // Its counter can be full only if the peer does not read it: then it is readable anyway.
  static_cast<void>(base::sys::write(end_.peer_doorbell.get(), &one, sizeof one));
}

base::Result<int> LinkPort::arm() {
  armed_ = true;
  receiver_.set_hot(false);
  watch();
  return end_.doorbell.get();
}

// Says that this end sleeps, then looks once more: the doorbell is readable iff a frame is there.
void LinkPort::watch() {
  std::atomic<std::uint32_t>& sleeping = mailbox_.get()->sleeping;
  if (sleeping.load(std::memory_order_relaxed) != 0) return;  // no bell since the last look
  std::uint64_t value = 0;
  static_cast<void>(base::sys::read(end_.doorbell.get(), &value, sizeof value));
  sleeping.store(1, std::memory_order_release);
  static_cast<void>(ring::AsymmetricBarrier::heavy());
  if (!receiver_.ready() || sleeping.exchange(0, std::memory_order_acq_rel) == 0) return;
  value = 1;
  static_cast<void>(base::sys::write(end_.doorbell.get(), &value, sizeof value));
}

}  // namespace ringway::driver
