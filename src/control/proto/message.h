#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/address.h"
#include "steering/layout.h"
#include "steering/stack_id.h"

// The messages between programs and ringwayd: one fixed-size struct each, over a Unix SEQPACKET
// socket, native byte order (both ends are on one machine), file descriptors by SCM_RIGHTS in the
// order of the comment at each struct.
//
//      0        4         6      8       12      16
//      +--------+---------+------+-------+-------+---------------- - -
//      | magic  | version | type | size  | tag   | the type's fields
//      +--------+---------+------+-------+-------+---------------- - -
//
// A reply carries the tag of its request; an event has tag 0. Every request is answered by its
// reply or by Failure.
namespace ringway::control::proto {

using steering::StackId;

inline constexpr std::uint32_t kMagic = 0x50435752;  // "RWCP"
inline constexpr std::uint16_t kVersion = 1;
inline constexpr std::size_t kMaxMessageBytes = 1024;
inline constexpr std::size_t kMaxFds = 4;

enum class Type : std::uint16_t {
  // of programs that joined a network by Hello
  kHello = 1,
  kRegisterStack,
  kJoinStack,
  kCloseStack,
  kLeaseListen,
  kReleaseListen,
  kListenActive,
  kCloneListen,
  kLeaseEphemeral,
  kReleaseEphemeral,
  kOpenLink,
  kFetchLink,
  kRestoreLink,
  kCloseLink,
  kResolve,
  // of the ringway command
  kStatus = 64,
  kSetStay,
  kShutdown,
  kAddNetwork,
  kRemoveNetwork,
  kListNetworks,
  kOpenTable,
  kFetchArena,
  // replies
  kOk = 128,
  kFailure,
  kHelloReply,
  kStackReply,
  kHoldReply,
  kPortReply,
  kBlockReply,
  kLinkReply,
  kHostReply,
  kStatusReply,
  kNetworksReply,
  kFdReply,
  // events
  kLinkOffer = 192,
  kPeerGone,
};

struct Head {
  std::uint32_t magic = kMagic;
  std::uint16_t version = kVersion;
  Type type{};
  std::uint32_t size = 0;
  std::uint32_t tag = 0;
};
static_assert(sizeof(Head) == 16);

using Name = std::array<char, steering::kMaxNetworkName + 1>;
using HostName = std::array<char, steering::kMaxHostName + 1>;

struct Hello {
  static constexpr Type kType = Type::kHello;
  static constexpr std::size_t kFds = 0;
  Head head;
  Name network{};
  HostName host{};  // empty: the network's common host
  std::array<char, steering::kMaxProgramName + 1> program{};
};
/// fds: steering table (read-only).
struct HelloReply {
  static constexpr Type kType = Type::kHelloReply;
  static constexpr std::size_t kFds = 1;
  Head head;
  std::uint64_t table_identity = 0;
  steering::Network network;
  steering::Host host;
};

struct Resolve {
  static constexpr Type kType = Type::kResolve;
  static constexpr std::size_t kFds = 0;
  Head head;
  HostName name{};
};
struct HostReply {
  static constexpr Type kType = Type::kHostReply;
  static constexpr std::size_t kFds = 0;
  Head head;
  steering::Host host;
};

struct Ok {
  static constexpr Type kType = Type::kOk;
  static constexpr std::size_t kFds = 0;
  Head head;
};
struct Failure {
  static constexpr Type kType = Type::kFailure;
  static constexpr std::size_t kFds = 0;
  Head head;
  std::int32_t os_errno = 0;
  std::uint32_t code = 0;  // base::ErrorCode
  std::array<char, 232> text{};
};

}  // namespace ringway::control::proto
