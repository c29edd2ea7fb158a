#pragma once

#include "control/proto/message.h"

// Messages about a stack, its listeners and its source ports.
namespace ringway::control::proto {

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

/// A listener's key as it travels.
struct Key {
  steering::Protocol protocol{};
  steering::Scope scope{};
  std::uint16_t port = 0;
  base::IpAddress address{};
};
static_assert(sizeof(Key) == 20);

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

}  // namespace ringway::control::proto
