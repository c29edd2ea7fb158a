#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.h"
#include "base/time.h"
#include "mem/byte_queue.h"
#include "mem/slab.h"
#include "wire/packet_view.h"

namespace ringway::ip {

/// One datagram whose fragments are arriving. Plain data.
struct PartialDatagram {
  static constexpr std::uint32_t kMaxFragments =
      64;  // 64 KiB in pieces of 1280 bytes, and some more
  static constexpr std::uint32_t kMaxHead = 160;

  struct Piece {
    std::uint16_t begin;  ///< bytes
    std::uint16_t end;
  };

  base::IpAddress src;
  base::IpAddress dst;
  std::uint32_t id;
  wire::Protocol protocol;  ///< of the first fragment for IPv6; part of the key for IPv4
  std::uint8_t interface;
  bool has_last;
  std::uint8_t traffic_class;
  std::uint8_t ttl;
  std::uint8_t head_length;  ///< bytes of `head`; 0: the first fragment is not there yet
  std::uint16_t piece_count;
  std::uint32_t total;  ///< bytes, once has_last
  std::uint32_t received;
  base::Instant deadline;
  mem::ByteQueue data;  ///< cells; aux is the offset of each one's first byte
  std::array<Piece, kMaxFragments> pieces;
  std::array<std::byte, kMaxHead> head;  ///< start of the first fragment's frame, for time exceeded
};

/// Puts fragments together (RFC 791, 3.2; RFC 8200, 4.5). Overlaps end the datagram (RFC 5722, and
/// for IPv4 alike). Bounded in datagrams, cells and time. All zero is empty.
class Reassembly {
 public:
  static constexpr std::uint32_t kMaxDatagrams = 64;
  static constexpr std::uint32_t kMaxCells = 2048;  // half a megabyte
  // RFC 8200, 4.5 demands 60 s. For IPv4, 30 s as hosts commonly do.
  static constexpr base::Duration kTimeoutV4 = base::Duration::seconds(30);
  static constexpr base::Duration kTimeoutV6 = base::Duration::seconds(60);
  /// Room for a whole datagram with Ethernet and IP headers.
  static constexpr std::size_t kScratchBytes = 65'536 + 64;

  enum class Outcome : std::uint8_t {
    kWaiting,
    kComplete,
    kDuplicate,     // the same piece again: only it is dropped
    kOverlap,       // the datagram is dropped
    kInconsistent,  // lengths contradict each other: the datagram is dropped
    kLimit,         // no room: the datagram is dropped
  };

  struct Arrival {
    std::uint8_t interface;
    std::span<const std::byte> frame;
    const wire::PacketView& view;
    base::Instant now;
  };

  /// Takes the fragment that `view` describes. On kComplete, `whole` is the datagram as one frame
  /// at the start of `scratch`, with its Ethernet header and a plain IP header: to be parsed again.
  Outcome add(const mem::Buffers& buffers, const Arrival& arrival, std::span<std::byte> scratch,
              std::span<const std::byte>& whole);

  base::Instant earliest() const;
  /// Frees what is overdue; expired(datagram) is called before.
  template <typename Expired>
  void run_due(const mem::Buffers& buffers, base::Instant now, Expired&& expired) {
    if (now < earliest()) return;
    for (std::uint32_t i = 1; i <= slab_.high_water(); ++i) {
      PartialDatagram& d = slab_[i];
      if (!used_[i] || now < d.deadline) continue;
      expired(d);
      release(buffers, i);
    }
  }
  std::uint32_t size() const { return slab_.in_use(); }
  std::uint32_t cells_used() const { return cells_used_; }

 private:
  std::uint32_t find(const wire::PacketView& view, std::uint8_t interface) const;
  std::uint32_t create(const wire::PacketView& view, std::uint8_t interface, base::Instant now);
  Outcome insert(const mem::Buffers& buffers, PartialDatagram& d, const Arrival& arrival);
  bool store(const mem::Buffers& buffers, PartialDatagram& d, std::span<const std::byte> bytes,
             std::uint32_t offset);
  void release(const mem::Buffers& buffers, std::uint32_t index);

  std::uint32_t cells_used_;
  std::array<bool, kMaxDatagrams + 1> used_;
  mem::Slab<PartialDatagram, kMaxDatagrams + 1> slab_;
};

}  // namespace ringway::ip
