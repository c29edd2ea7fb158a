#pragma once

#include <array>
#include <memory>
#include <unordered_map>

#include "base/time.h"
#include "base/unique_fd.h"
#include "control/client/client.h"
#include "gateway/attachment.h"
#include "gateway/state.h"
#include "stack/link.h"

namespace ringway::gateway {

/// One stack of the network and the link to it.
struct Peer {
  std::uint16_t index = 0;  ///< of its LinkState, and its bit in our mailbox
  steering::StackId id;
  base::IpAddress ipv4;  ///< of its host: the only sources that it may use
  base::IpAddress ipv6;
  std::unique_ptr<stack::Link> link;
  base::UniqueFd life;
  bool recent = false;    ///< something was received since the last sleep
  bool touched = false;   ///< something was written since the last flush
  base::Instant dies_at;  ///< never(): it lives. Else its process has ended
};

/// The links of a gateway: asked for when a packet needs one, or offered by the stacks. One thread.
class Peers {
 public:
  /// `epoll` gets the life pipes, with a Peer's index + `tag` as data.
  Peers(Attachment& attachment, int epoll, std::uint64_t tag)
      : attachment_(attachment), epoll_(epoll), tag_(tag) {}

  Peer* at(std::uint32_t index) { return index < kMaxPeers ? peers_[index].get() : nullptr; }
  Peer* find(steering::StackId id);
  /// The link to a stack, asked of the daemon if there is none; nullptr if that failed.
  Peer* reach(steering::StackId id, base::Instant now);
  void take(control::Link link);
  /// The peer's last holder is gone. A reaper may still speak for it, so the link stays until the
  /// table no longer knows the stack.
  void hung_up(std::uint32_t index, base::Instant now);
  /// The daemon says that a link is no more.
  void gone(const control::PeerGone& gone, base::Instant now);
  /// Drops what has ended. To be called at next_sweep().
  void sweep(base::Instant now);
  base::Instant next_sweep() const { return next_sweep_; }

 private:
  static constexpr base::Duration kSweep = base::Duration::milliseconds(100);
  /// A reaper's longest life, and some more.
  static constexpr base::Duration kLongestEnd = base::Duration::seconds(65);

  base::Result<Peer*> install(control::Link link);
  void drop(Peer& peer);

  Attachment& attachment_;
  int epoll_;
  std::uint64_t tag_;
  std::array<std::unique_ptr<Peer>, kMaxPeers> peers_;
  std::unordered_map<std::uint32_t, std::uint16_t> by_stack_;  ///< StackId::raw
  base::Instant next_sweep_ = base::Instant::never();
  base::Instant retry_at_;  ///< the daemon did not answer: not asked again before
};

}  // namespace ringway::gateway
