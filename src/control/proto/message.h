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

/// A listener's key as it travels.
struct Key {
  steering::Protocol protocol{};
  steering::Scope scope{};
  std::uint16_t port = 0;
  base::IpAddress address{};
};
static_assert(sizeof(Key) == 20);

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

inline constexpr std::uint32_t kRegisterGateway = 1;
/// fds: arena, mailbox, doorbell, life (read end). `earlier`: the id before the daemon went away,
/// or none.
struct RegisterStack {
  static constexpr Type kType = Type::kRegisterStack;
  static constexpr std::size_t kFds = 4;
  Head head;
  StackId earlier;
  std::uint32_t flags = 0;
};
struct StackReply {
  static constexpr Type kType = Type::kStackReply;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
};
/// fds: the stack's arena, which proves that the sender holds it. Answered by HoldReply.
struct JoinStack {
  static constexpr Type kType = Type::kJoinStack;
  static constexpr std::size_t kFds = 1;
  Head head;
  StackId stack;
};
/// fds: the stack's mailbox, doorbell and life (read end).
struct HoldReply {
  static constexpr Type kType = Type::kHoldReply;
  static constexpr std::size_t kFds = 3;
  Head head;
};
struct CloseStack {
  static constexpr Type kType = Type::kCloseStack;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
};

/// `flags`: steering::kEntryActive, kEntryReusePort, kEntryShared.
struct LeaseListen {
  static constexpr Type kType = Type::kLeaseListen;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
  std::uint32_t flags = 0;
  Key key;
};
struct ReleaseListen {
  static constexpr Type kType = Type::kReleaseListen;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
  Key key;
};
struct ListenActive {
  static constexpr Type kType = Type::kListenActive;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
  std::uint32_t active = 0;
  Key key;
};
struct CloneListen {
  static constexpr Type kType = Type::kCloneListen;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
  StackId from;
  Key key;
};
struct PortReply {
  static constexpr Type kType = Type::kPortReply;
  static constexpr std::size_t kFds = 0;
  Head head;
  std::uint32_t port = 0;
};

struct LeaseEphemeral {
  static constexpr Type kType = Type::kLeaseEphemeral;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
  std::uint32_t protocol = 0;
};
struct ReleaseEphemeral {
  static constexpr Type kType = Type::kReleaseEphemeral;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
  std::uint32_t protocol = 0;
  std::uint16_t first = 0;
  std::uint16_t count = 0;
};
struct BlockReply {
  static constexpr Type kType = Type::kBlockReply;
  static constexpr std::size_t kFds = 0;
  Head head;
  std::uint16_t first = 0;
  std::uint16_t count = 0;
};

/// fds: link memfd, used if the two stacks have no link yet.
struct OpenLink {
  static constexpr Type kType = Type::kOpenLink;
  static constexpr std::size_t kFds = 1;
  Head head;
  StackId stack;
  StackId to;
};
struct FetchLink {
  static constexpr Type kType = Type::kFetchLink;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
  std::uint32_t link = 0;
};
/// fds: link memfd. Tells a successor daemon of a link that its predecessor made.
struct RestoreLink {
  static constexpr Type kType = Type::kRestoreLink;
  static constexpr std::size_t kFds = 1;
  Head head;
  StackId stack;
  StackId peer;
  std::uint32_t link = 0;
  std::uint32_t side = 0;
};
struct CloseLink {
  static constexpr Type kType = Type::kCloseLink;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
  std::uint32_t link = 0;
};
/// fds: link memfd, the peer's mailbox, doorbell and life (read end).
struct LinkReply {
  static constexpr Type kType = Type::kLinkReply;
  static constexpr std::size_t kFds = 4;
  Head head;
  StackId peer;
  std::uint32_t link = 0;
  std::uint32_t side = 0;      // 0: the receiver of this message made the link's memory
  std::uint32_t existing = 0;  // 1: the link was there before, the passed memory is not used
};
/// fds: as LinkReply.
struct LinkOffer {
  static constexpr Type kType = Type::kLinkOffer;
  static constexpr std::size_t kFds = 4;
  Head head;
  StackId stack;
  StackId peer;
  std::uint32_t link = 0;
  std::uint32_t side = 0;
};
enum class Gone : std::uint32_t {
  kClosed = 0,      // the peer ended cleanly
  kDied = 1,        // its last holder is gone, nobody acts for it
  kReaped = 2,      // its last holder is gone, a reaper closes its connections
  kLinkClosed = 3,  // the peer gave up this link only
};
struct PeerGone {
  static constexpr Type kType = Type::kPeerGone;
  static constexpr std::size_t kFds = 0;
  Head head;
  StackId stack;
  StackId peer;
  std::uint32_t link = 0;
  Gone how = Gone::kClosed;
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
