#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ringway::driver::memif {

// The memif protocol, version 2.0, as VPP and DPDK speak it. The slave owns the memory and offers
// it; the master takes it. All numbers are in the byte order of the machine.

constexpr std::uint32_t kCookie = 0x3E31F20;
constexpr std::uint16_t kVersion = 0x0200;

enum class MessageType : std::uint16_t {
  kNone,
  kAck,
  kHello,       ///< master: what it can do
  kInit,        ///< slave: which interface it wants
  kAddRegion,   ///< slave, with the fd of the memory
  kAddRing,     ///< slave, with the eventfd of the ring
  kConnect,     ///< slave: that was all
  kConnected,   ///< master: data may flow
  kDisconnect,  ///< both
};

/// A message on the control socket (SOCK_SEQPACKET): 128 bytes, fields without gaps.
///
///   type 2 | what belongs to the type
///   hello: name 32, least version 2, most version 2, last region 2, last M2S ring 2, last S2M ring
///   2, log2 of the ring size 1
///   init: version 2, id 4, mode 1, secret 24, name 32
///   add_region: index 2, size 8
///   add_ring: flags 2, index 2, region 2, offset 4, log2 of the size 1, private header 2
///   connect, connected: name 32          disconnect: code 4, reason 96
struct Message {
  static constexpr std::size_t kBytes = 128;
  static constexpr std::size_t kNameBytes = 32;
  static constexpr std::size_t kSecretBytes = 24;
  static constexpr std::size_t kReasonBytes = 96;

  std::array<std::byte, kBytes> bytes{};

  Message() = default;
  explicit Message(MessageType type) { put(0, static_cast<std::uint16_t>(type)); }

  MessageType type() const { return static_cast<MessageType>(get<std::uint16_t>(0)); }
  template <typename T>
  T get(std::size_t offset) const {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
  }
  template <typename T>
  void put(std::size_t offset, T value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
  }
  /// A text in a field of `room` bytes, the last of which stays zero.
  void put_text(std::size_t offset, std::string_view text, std::size_t room) {
    std::memcpy(bytes.data() + offset, text.data(), text.size() < room ? text.size() : room - 1);
  }
  /// Up to the first zero, or the end of the field.
  std::string_view get_text(std::size_t offset, std::size_t room) const {
    const auto* begin = reinterpret_cast<const char*>(bytes.data() + offset);
    return {begin, ::strnlen(begin, room)};
  }
};

/// Where the fields of a Message lie.
struct Field {
  static constexpr std::size_t kHelloName = 2, kHelloLeast = 34, kHelloMost = 36, kHelloRegion = 38,
                               kHelloM2s = 40, kHelloS2m = 42, kHelloLog2 = 44;
  static constexpr std::size_t kInitVersion = 2, kInitId = 4, kInitMode = 8, kInitSecret = 9,
                               kInitName = 33;
  static constexpr std::size_t kRegionIndex = 2, kRegionSize = 4;
  static constexpr std::size_t kRingFlags = 2, kRingIndex = 4, kRingRegion = 6, kRingOffset = 8,
                               kRingLog2 = 12, kRingPrivate = 13;
  static constexpr std::size_t kName = 2;
  static constexpr std::size_t kCode = 2, kReason = 6;
};
constexpr std::uint16_t kRingS2m = 1;  ///< flag of add_ring: from slave to master
constexpr std::uint8_t kModeEthernet = 0;

/// A buffer in a ring.
struct Desc {
  std::uint16_t flags;
  std::uint16_t region;
  std::uint32_t length;
  std::uint32_t offset;  ///< in the region
  std::uint32_t metadata;
};
static_assert(sizeof(Desc) == 16);
constexpr std::uint16_t kDescNext = 1;  ///< the packet goes on in the next one

/// A ring: 128 bytes of header, then the descriptors.
///
///   0        4       6              64           128
///   +--------+-------+------+--...--+------+-...-+------------------
///   | cookie | flags | head |       | tail |     | Desc[1 << log2]
///   +--------+-------+------+--...--+------+-...-+------------------
///
/// S2M: the slave moves head past what it has filled, the master moves tail past what it has read.
/// M2S: the slave moves head past empty buffers, the master moves tail past those it has filled.
struct RingLayout {
  static constexpr std::size_t kFlags = 4, kHead = 6, kTail = 64, kDescs = 128;
  static constexpr std::uint16_t kMaskInterrupt = 1;  ///< the receiver polls: no eventfd, please
  static constexpr std::size_t bytes(unsigned log2) { return kDescs + (sizeof(Desc) << log2); }
};
constexpr unsigned kMaxLog2 = 14;

}  // namespace ringway::driver::memif
