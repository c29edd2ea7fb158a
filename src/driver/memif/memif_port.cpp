#include "driver/memif/memif_port.h"

#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstring>

#include "base/random.h"
#include "base/sys.h"
#include "driver/memif/memif_bell.h"
#include "port/packet.h"

namespace ringway::driver {
namespace {

namespace sys = base::sys;
using base::Result;
using mem::FrameDesc;
using memif::Control;
using memif::ring_bell;

constexpr std::uint32_t kEthernet = 14;
/// How often a connected port looks at its control channel: a system call each time.
constexpr base::Duration kLookEvery = base::Duration::milliseconds(1);
constexpr std::uint32_t kIdleLooks = 256;

/// What a packet may come to instead of a number of descriptors.
constexpr std::size_t kNoFrame = SIZE_MAX;     ///< the pool is empty
constexpr std::size_t kNoRoom = SIZE_MAX - 1;  ///< the caller's burst is too small for it

/// A local address (IEEE 802, 8.4.4), the same at each start of this end.
base::MacAddress mac_of(const MemifOptions& options) {
  std::uint64_t hash = options.master ? 0x6d656d6966000001U : 0x6d656d6966000002U;
  for (const char c : options.path) hash = base::Random::mix(hash ^ static_cast<unsigned char>(c));
  hash = base::Random::mix(hash ^ options.id);
  base::MacAddress mac{{0x02, 0x6d}};
  for (std::size_t i = 2; i < mac.bytes.size(); ++i) {
    mac.bytes[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  }
  return mac;
}

}  // namespace

Result<std::unique_ptr<MemifPort>> MemifPort::open(const MemifOptions& options,
                                                   const Frames& frames) {
  if (options.zero_copy && frames.fd < 0) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the frames of this program are private memory: leave out zerocopy");
  }
  auto control = Control::open(options, frames);
  if (!control) return tl::unexpected(std::move(control).error());
  return std::unique_ptr<MemifPort>(new MemifPort(options, frames, std::move(*control)));
}

std::unique_ptr<MemifPort> MemifPort::adopt(const MemifOptions& options, const Frames& frames,
                                            base::UniqueFd peer) {
  return std::unique_ptr<MemifPort>(
      new MemifPort(options, frames, Control::adopt(options, frames, std::move(peer))));
}

MemifPort::MemifPort(const MemifOptions& options, const Frames& frames, Control control)
    : options_(options), frames_(frames), pool_(*frames.pool), control_(std::move(control)) {
  caps_.mac = options.mac.value_or(mac_of(options));
  caps_.mtu = options.mtu;
  caps_.max_frame = options.mtu + kEthernet;
  pieces_.reserve(port::kMaxPieces);
}

MemifPort::~MemifPort() {
  disconnect();
  control_.drop("closed");
}

void MemifPort::advance(base::Instant now) {
  now_ = std::max(now_, now);
  if (up_ && now_ < look_) return;
  look_ = now_ + kLookEvery;
  serve(now_);
}

/// Takes what the control channel has, up to a peer that is connected, or none.
void MemifPort::serve(base::Instant now) {
  const std::uint64_t before = control_.violations();
  const Control::Event event = control_.step(now);
  if (event == Control::Event::kConnected) connect();
  if (event == Control::Event::kClosed) disconnect();
  counters_.rx_bad += control_.violations() - before;
  listen_to(control_.fd());
}

void MemifPort::connect() {
  rx_ = posted_ = tx_ = freed_ = 0;
  if (options_.master) {
    // A slave may have put buffers up already; what it has sent comes after this.
    rx_ = rx_ring().tail();
    tx_ = tx_ring().tail();
  }
  if (shared()) {
    rx_slots_.assign(rx_ring().size(), mem::FramePool::kNone);
    tx_slots_.assign(tx_ring().size(), mem::FramePool::kNone);
  }
  up_ = true;
  post();
  if (epoll_) {
    epoll_event event{};
    event.events = EPOLLIN;
    static_cast<void>(sys::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, rx_bell(), &event));
    rx_ring().want_bell(true);
    ring_bell(rx_bell());
  }
}

/// The memory is gone: what the peer still had of ours comes back.
void MemifPort::disconnect() {
  if (!up_) return;
  up_ = false;
  for (auto* slots : {&rx_slots_, &tx_slots_}) {
    for (const std::uint32_t slot : *slots) {
      if (slot != mem::FramePool::kNone) pool_.free(slot);
    }
    slots->clear();
  }
}

void MemifPort::violated(std::string_view reason) {
  ++counters_.rx_bad;
  control_.drop(reason);
  disconnect();
  listen_to(control_.fd());
}

std::size_t MemifPort::rx_burst(std::span<FrameDesc> out) {
  if (out.empty()) return 0;
  const std::size_t n = up_ ? receive(out) : 0;
  if (n != 0) {
    idle_ = 0;
  } else if (++idle_ >= kIdleLooks || (epoll_ && !up_)) {
    idle_ = 0;
    serve(now_);
  }
  return n;
}

std::size_t MemifPort::receive(std::span<FrameDesc> out) {
  memif::Ring& ring = rx_ring();
  const auto counted = [&] {
    const std::uint16_t end = options_.master ? ring.head() : ring.tail();
    return static_cast<std::uint16_t>(end - rx_);
  };
  const std::uint32_t most =
      options_.master ? ring.size() : static_cast<std::uint16_t>(posted_ - rx_);
  std::uint16_t available = counted();
  if (epoll_ && available == 0) {
    // Empty the bell before the last look, so that it is never silent while something waits.
    std::uint64_t value = 0;
    static_cast<void>(sys::read(rx_bell(), &value, sizeof value));
    available = counted();
  }
  if (available > most) {
    violated("ring index out of range");
    return 0;
  }
  std::size_t n = 0;
  while (n < out.size() && available != 0) {
    const Found found = next_packet(available);
    if (found == Found::kNothing) break;
    if (found == Found::kViolation) {
      violated("descriptor out of range");
      return n;
    }
    const std::size_t used = pieces_.size();
    if (found == Found::kPacket) {
      const std::size_t got = take(out.subspan(n), used);
      if (!up_) return n;
      if (got == kNoFrame || (got == kNoRoom && n != 0)) break;
      if (got == kNoRoom) {
        ++counters_.rx_too_long;
      } else {
        n += got;
      }
    }
    rx_ = static_cast<std::uint16_t>(rx_ + used);
    available = static_cast<std::uint16_t>(available - used);
  }
  if (options_.master) ring.set_tail(rx_);
  post();
  if (epoll_ && n != 0 && counted() == 0) {
    std::uint64_t value = 0;
    static_cast<void>(sys::read(rx_bell(), &value, sizeof value));
    if (counted() != 0) ring_bell(rx_bell());
  }
  return n;
}

/// Reads the descriptors of the next packet once, into pieces_. A chain that is longer than any
/// packet is bad as far as it was read.
MemifPort::Found MemifPort::next_packet(std::uint16_t available) {
  pieces_.clear();
  std::uint32_t length = 0;
  bool more = true;
  while (more && pieces_.size() < available && pieces_.size() < port::kMaxPieces) {
    const auto index = static_cast<std::uint16_t>(rx_ + pieces_.size());
    const memif::Desc desc = rx_ring().desc(index);
    Piece piece;
    if (!place(index, desc, piece)) return Found::kViolation;
    pieces_.push_back(piece);
    length += std::min<std::uint32_t>(piece.length, UINT16_MAX + 1U);
    more = (desc.flags & memif::kDescNext) != 0;
  }
  const bool endless = pieces_.size() == port::kMaxPieces || pieces_.size() == rx_ring().size();
  if (more && !endless) return Found::kNothing;
  if (more || length == 0) {
    ++counters_.rx_bad;
    return Found::kBad;
  }
  if (length <= UINT16_MAX) return Found::kPacket;
  ++counters_.rx_too_long;
  return Found::kBad;
}

/// Where a received descriptor lies: as the slave says, if we are master; in the buffer that we put
/// up, if we are slave.
bool MemifPort::place(std::uint16_t index, const memif::Desc& desc, Piece& piece) const {
  const memif::Memory& shared_memory = memory();
  piece = {desc.region, desc.offset, desc.length};
  if (options_.master) {
    return desc.region < shared_memory.regions.size() &&
           shared_memory.regions[desc.region].contains(desc.offset, desc.length);
  }
  piece.region = 0;
  if (shared()) {
    const std::uint32_t slot = rx_slots_[index & (rx_slots_.size() - 1)];
    piece.offset = mem::coloured_headroom(slot);
    return desc.length <= std::min<std::uint32_t>(pool_.slot_size() - piece.offset, UINT16_MAX);
  }
  const std::uint32_t ring_size = shared_memory.m2s.size();
  const std::uint32_t buffer = ring_size + (index & (ring_size - 1));  // after those of s2m
  piece.offset = shared_memory.buffers_offset + buffer * shared_memory.buffer_bytes;
  return desc.length <= shared_memory.buffer_bytes;
}

/// Gives the packet in pieces_ to the caller; kNoFrame or kNoRoom: nothing has
/// happened yet.
std::size_t MemifPort::take(std::span<FrameDesc> out, std::size_t pieces) {
  if (!shared()) return copy_in(out);
  if (pieces > out.size()) return kNoRoom;
  for (std::size_t i = 0; i < pieces; ++i) {
    std::uint32_t& slot = rx_slots_[(rx_ + i) & (rx_slots_.size() - 1)];
    out[i] = {};
    out[i].slot = slot;
    out[i].offset = static_cast<std::uint16_t>(pieces_[i].offset);
    out[i].length = static_cast<std::uint16_t>(pieces_[i].length);
    if (i + 1 != pieces) out[i].flags = mem::kFrameMore;
    slot = mem::FramePool::kNone;
  }
  ++counters_.rx_frames;
  counters_.rx_bytes += port::length_of(out.first(pieces));
  return pieces;
}

std::size_t MemifPort::copy_in(std::span<FrameDesc> out) {
  std::size_t used = 0;
  std::uint32_t room = 0;
  for (const Piece& piece : pieces_) {
    const memif::Region& region = memory().regions[piece.region];
    for (std::uint32_t done = 0; done < piece.length;) {
      if (room == 0) {
        const std::uint32_t slot = used < out.size() ? pool_.allocate() : mem::FramePool::kNone;
        if (slot == mem::FramePool::kNone) {
          const bool lack = used < out.size();
          port::free_packet(pool_, out.first(used));
          if (lack) ++counters_.rx_no_frame;
          return lack ? kNoFrame : kNoRoom;
        }
        out[used] = {};
        out[used].slot = slot;
        out[used].offset = static_cast<std::uint16_t>(mem::coloured_headroom(slot));
        room = std::min<std::uint32_t>(pool_.slot_size() - out[used].offset, UINT16_MAX);
        if (used != 0) out[used - 1].flags = mem::kFrameMore;
        ++used;
      }
      FrameDesc& last = out[used - 1];
      const std::uint32_t part = std::min(room, piece.length - done);
      std::byte* to = pool_.data(last.slot) + last.offset + last.length;
      if (!region.read(piece.offset + done, {to, part})) {
        port::free_packet(pool_, out.first(used));
        violated("a region was cut short");
        return 0;
      }
      last.length = static_cast<std::uint16_t>(last.length + part);
      room -= part;
      done += part;
    }
  }
  ++counters_.rx_frames;
  counters_.rx_bytes += port::length_of(out.first(used));
  return used;
}

/// As slave: puts buffers up for the master to fill, as many as the ring holds.
void MemifPort::post() {
  if (options_.master || !up_) return;
  memif::Ring& ring = rx_ring();
  const std::uint16_t before = posted_;
  while (static_cast<std::uint16_t>(posted_ - rx_) < ring.size()) {
    memif::Desc desc{};
    const std::uint32_t at = posted_ & (ring.size() - 1);
    if (shared()) {
      const std::uint32_t slot = pool_.allocate();
      if (slot == mem::FramePool::kNone) {
        ++counters_.rx_no_frame;
        break;
      }
      rx_slots_[at] = slot;
      desc.region = 1;
      desc.offset = slot * pool_.slot_size() + mem::coloured_headroom(slot);
      desc.length =
          std::min<std::uint32_t>(pool_.slot_size() - mem::coloured_headroom(slot), UINT16_MAX);
    } else {
      desc.offset = memory().buffers_offset + (ring.size() + at) * memory().buffer_bytes;
      desc.length = memory().buffer_bytes;
    }
    ring.set_desc(posted_, desc);
    ++posted_;
  }
  if (posted_ != before) ring.set_head(posted_);
}

bool MemifPort::sendable(std::span<const FrameDesc> packet) const {
  constexpr std::uint8_t kOffloads =
      mem::kFrameCsumNeeded | mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6;
  return port::lies_within(pool_, packet) && port::length_of(packet) <= caps_.max_frame &&
         (packet.front().flags & kOffloads) == 0;
}

std::size_t MemifPort::tx_burst(std::span<const FrameDesc> packets) {
  reclaim();
  std::size_t taken = 0;
  const std::uint16_t before = tx_;
  while (taken < packets.size()) {
    const std::size_t pieces = port::pieces_of(packets.subspan(taken));
    if (pieces == 0) break;
    const auto packet = packets.subspan(taken, pieces);
    bool ours = true;  // the frames stay with us until they are freed here
    if (!sendable(packet)) {
      ++counters_.tx_bad;
    } else if (!up_) {
      ++counters_.tx_error;
    } else if (shared() ? !send_shared(packet) : !send(packet)) {
      if (up_) break;
      ++counters_.tx_error;
    } else {
      ours = !shared();
      ++counters_.tx_frames;
      counters_.tx_bytes += port::length_of(packet);
    }
    if (ours) port::free_packet(pool_, packet);
    taken += pieces;
  }
  if (up_ && tx_ != before) publish();
  return taken;
}

/// Everything before tx_ is the receiver's.
void MemifPort::publish() {
  if (options_.master) {
    tx_ring().set_tail(tx_);
  } else {
    tx_ring().set_head(tx_);
  }
  if (tx_ring().bell_wanted()) ring_bell(tx_bell());
}

/// Zero copy: the frames themselves go into the ring.
bool MemifPort::send_shared(std::span<const FrameDesc> packet) {
  memif::Ring& ring = tx_ring();
  const auto busy = static_cast<std::uint16_t>(tx_ - freed_);
  if (ring.size() - busy < packet.size()) return false;
  for (std::size_t i = 0; i < packet.size(); ++i) {
    memif::Desc desc{};
    desc.flags = i + 1 == packet.size() ? 0 : memif::kDescNext;
    desc.region = 1;
    desc.offset = packet[i].slot * pool_.slot_size() + packet[i].offset;
    desc.length = packet[i].length;
    tx_slots_[tx_ & (ring.size() - 1)] = packet[i].slot;
    ring.set_desc(tx_++, desc);
  }
  return true;
}

std::size_t MemifPort::reclaim() {
  if (!up_ || options_.master) return 0;
  const std::uint16_t tail = tx_ring().tail();
  const auto done = static_cast<std::uint16_t>(tail - freed_);
  if (done > static_cast<std::uint16_t>(tx_ - freed_)) {
    violated("ring index out of range");
    return 0;
  }
  if (shared()) {
    for (; freed_ != tail; ++freed_) {
      std::uint32_t& slot = tx_slots_[freed_ & (tx_slots_.size() - 1)];
      pool_.free(slot);
      slot = mem::FramePool::kNone;
    }
  }
  freed_ = tail;
  return shared() ? done : 0;
}

bool MemifPort::send(std::span<const FrameDesc> packet) {
  return find_room(port::length_of(packet)) && copy_out(packet);
}

/// The buffers that a packet of `length` bytes goes into, in pieces_. False: not enough now, or the
/// peer is gone.
bool MemifPort::find_room(std::uint32_t length) {
  memif::Ring& ring = tx_ring();
  pieces_.clear();
  const auto busy = static_cast<std::uint16_t>(tx_ - freed_);
  const std::uint32_t free =
      options_.master ? static_cast<std::uint16_t>(ring.head() - tx_) : ring.size() - busy;
  if (free > ring.size()) {
    violated("ring index out of range");
    return false;
  }
  for (std::uint32_t room = 0; room < length;) {
    if (pieces_.size() == free) return false;
    const auto index = static_cast<std::uint16_t>(tx_ + pieces_.size());
    Piece piece{0, 0, memory().buffer_bytes};
    if (options_.master) {
      const memif::Desc desc = ring.desc(index);
      piece = {desc.region, desc.offset, desc.length};
      if (piece.length == 0 || piece.region >= memory().regions.size() ||
          !memory().regions[piece.region].contains(piece.offset, piece.length)) {
        violated("descriptor out of range");
        return false;
      }
    } else {
      piece.offset = memory().buffers_offset + (index & (ring.size() - 1)) * piece.length;
    }
    piece.length = std::min(piece.length, length - room);
    room += piece.length;
    pieces_.push_back(piece);
  }
  return true;
}

bool MemifPort::copy_out(std::span<const FrameDesc> packet) {
  std::size_t at = 0;
  std::uint32_t filled = 0;
  for (const FrameDesc& part : packet) {
    const std::byte* from = pool_.data(part.slot) + part.offset;
    for (std::uint32_t done = 0; done < part.length;) {
      const Piece& piece = pieces_[at];
      const std::uint32_t n = std::min<std::uint32_t>(part.length - done, piece.length - filled);
      if (!memory().regions[piece.region].write(piece.offset + filled, {from + done, n})) {
        violated("a region was cut short");
        return false;
      }
      done += n;
      filled += n;
      if (filled != piece.length) continue;
      filled = 0;
      ++at;
    }
  }
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    memif::Desc desc{};
    desc.flags = i + 1 == pieces_.size() ? 0 : memif::kDescNext;
    desc.region = pieces_[i].region;
    desc.offset = pieces_[i].offset;
    desc.length = pieces_[i].length;
    tx_ring().set_desc(tx_++, desc);
  }
  return true;
}

}  // namespace ringway::driver
