#pragma once

#include "control/proto/message.h"

// Messages that introduce two stacks to each other.
namespace ringway::control::proto {

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

}  // namespace ringway::control::proto
