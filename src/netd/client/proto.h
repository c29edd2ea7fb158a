#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <type_traits>

#include "base/address.h"

/// What programs and ringway-netd say to each other over a SEQPACKET socket: one request, one
/// answer; besides, the daemon tells of a device that has gone.
namespace ringway::netd {

inline constexpr std::uint32_t kMagic = 0x4457'4e03;
inline constexpr std::size_t kMaxSockets = 64;

enum class RequestType : std::uint32_t {
  kOpen,     ///< bind queues of a device to a memfd (passed along); answer: the sockets
  kJoin,     ///< go on with a device that this program has, at a successor of the daemon
  kLease,    ///< address, protocol, port
  kDrop,     ///< the same
  kBlock,    ///< a range of ports for outgoing connections; answer: port, count
  kResolve,  ///< ask for the neighbour `address`
};

struct Request {
  std::uint32_t magic = kMagic;
  RequestType type{};
  std::array<char, 16> device{};
  std::int32_t queue = -1;
  std::uint8_t copy = 0;    ///< xdp::CopyMode
  std::uint8_t attach = 0;  ///< xdp::Steering::Attach
  std::uint8_t chain = 0;
  std::uint8_t protocol = 0;  ///< 6, 17
  std::uint8_t lease = 0;     ///< driver::LeaseKind
  std::array<std::uint8_t, 3> reserved{};
  std::uint32_t chunk = 0;
  std::uint16_t port = 0;
  std::uint16_t count = 0;
  std::uint64_t offset = 0;  ///< of the frames in the memfd
  std::uint64_t length = 0;
  base::IpAddress address{};
};
static_assert(std::is_trivially_copyable_v<Request>);

enum class AnswerType : std::uint32_t { kAnswer, kDeviceGone };

struct Answer {
  std::uint32_t magic = kMagic;
  AnswerType type = AnswerType::kAnswer;
  std::int32_t error = 0;   ///< errno; 0: done
  std::uint32_t index = 0;  ///< of the interface
  std::array<std::uint8_t, 6> mac{};
  std::uint16_t mtu = 0;
  std::uint8_t zero_copy = 0;
  std::uint8_t pieces = 0;
  std::uint8_t tx_checksum = 0;
  std::uint8_t unfinished_checksums = 0;
  std::uint8_t native = 0;
  std::uint8_t guarded = 0;
  std::array<std::uint8_t, 2> reserved{};
  std::uint32_t rate_mbit = 0;  ///< of a guarded lease; 0: not limited
  std::uint16_t port = 0;
  std::uint16_t count = 0;
  std::array<char, 256> text{};  ///< what went wrong, and the fix
};
static_assert(std::is_trivially_copyable_v<Answer>);

/// Where the daemon of this network namespace listens: $RINGWAY_NETD, else
/// /run/ringway/netd-NAMESPACE.sock.
std::string socket_path();

}  // namespace ringway::netd
