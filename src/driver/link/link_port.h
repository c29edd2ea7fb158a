#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "driver/link/link_memory.h"
#include "mem/frame_pool.h"
#include "port/port.h"
#include "port/spec.h"
#include "ring/slot_receiver.h"
#include "ring/slot_sender.h"

namespace ringway::driver {

/// One end of a link as descriptors, to be inherited by a child or passed over a Unix socket.
struct LinkEnd {
  base::UniqueFd memory;         ///< of LinkMemory: the same file at both ends
  base::UniqueFd mailbox;        ///< of this end
  base::UniqueFd doorbell;       ///< eventfd that wakes this end; not blocking
  base::UniqueFd peer_mailbox;   ///< where this end tells the peer
  base::UniqueFd peer_doorbell;  ///< eventfd that wakes the peer
  bool made_here = true;         ///< side 0; the peer is the other one
};

/// A new link and its two ends.
base::Result<std::pair<LinkEnd, LinkEnd>> make_link();

struct LinkOptions {
  std::string name = "link";
  std::uint16_t mtu = 1500;
  /// Frames keep what is known about their checksums and segments, and TCP frames may be as long
  /// as the link takes. Without it, frames that ask for such work are bad in either direction.
  bool offload = false;

  /// "link:NAME,mtu=9000,offload".
  static base::Result<LinkOptions> parse(const port::Spec& spec);
};

/// A link as a port: for programs that want frames (generator, sink, packet API), while a stack
/// writes links in place (stack::Link). Both speak the same rings, so the peer may be either.
///
/// Frames are copied once, between the pool and the link. A frame longer than a slot of the pool
/// is counted as rx_too_long. The peer is not trusted: what it writes costs frames of this link
/// only. Until arm() is called the port counts as polled, and the peer rings no bell.
class LinkPort final : public port::Port {
 public:
  /// `pool` must outlive the port. Errors: kCorrupt for memory that is no link.
  static base::Result<std::unique_ptr<LinkPort>> open(LinkEnd end, const LinkOptions& options,
                                                      mem::FramePool& pool);
  ~LinkPort() override;
  LinkPort(const LinkPort&) = delete;
  LinkPort& operator=(const LinkPort&) = delete;

  std::string_view name() const override { return name_; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc> out) override;
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override;
  base::Result<int> arm() override;
  /// True if rx_burst would find something. Reads shared memory only.
  bool has_input() const { return receiver_.ready(); }

 private:
  /// Frames of the peer's Region that are given back together.
  struct Returns {
    std::array<std::uint32_t, 64> slots;
    std::size_t count = 0;
  };

  LinkPort(LinkEnd end, const LinkOptions& options, mem::FramePool& pool);
  base::Result<void> map();
  bool receive(std::uint32_t slot, mem::FrameDesc& out, Returns& returns);
  bool accepts(const mem::FrameDesc& desc, std::uint32_t room);
  bool sendable(std::span<const mem::FrameDesc> packet) const;
  bool send(std::span<const mem::FrameDesc> packet);
  void wake_peer();
  void watch();

  LinkEnd end_;
  std::string name_;
  mem::FramePool& pool_;
  port::Caps caps_;
  LinkMemory memory_;
  MailboxMemory mailbox_;
  MailboxMemory peer_mailbox_;
  ring::SenderState sender_state_{};
  ring::ReceiverState receiver_state_{};
  ring::SlotSender sender_;
  ring::SlotReceiver receiver_;
  bool armed_ = false;
};

}  // namespace ringway::driver
