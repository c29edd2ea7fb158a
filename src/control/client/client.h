#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "control/proto/channel.h"
#include "control/proto/links.h"
#include "control/proto/message.h"
#include "steering/layout.h"
#include "steering/table_writer.h"

namespace ringway::control {

using steering::ListenKey;
using steering::PortBlock;
using steering::Protocol;
using steering::StackId;

struct ClientOptions {
  std::string network = "default";
  std::string host;         // empty: the network's common host
  std::string program;      // shown by `ringway ss`
  std::string directory;    // empty: proto::runtime_directory()
  std::string daemon_path;  // empty: $RINGWAYD, else beside this program or library
  bool spawn = true;        // start ringwayd if none runs
};

/// Where the program is in its network.
struct Membership {
  steering::Network network;
  steering::Host host;
  std::uint64_t table_identity = 0;
};

/// What a stack is made of; the descriptors are only looked at.
struct StackFds {
  int arena = -1;
  int mailbox = -1;
  int doorbell = -1;
  int life = -1;  // the read end
};

/// One end of a link and how to reach the peer. `side` 0: this end made the link's memory.
struct Link {
  std::uint32_t number = 0;
  std::uint32_t side = 0;
  bool existing = false;
  StackId stack;  // this end
  StackId peer;
  base::UniqueFd memory, mailbox, doorbell, life;
};

/// A peer opened a link to one of this process's stacks.
struct LinkOffer {
  Link link;
};
struct PeerGone {
  StackId stack;
  StackId peer;
  std::uint32_t link = 0;
  proto::Gone how = proto::Gone::kClosed;
};
/// The table is another file than before: map `table`, and lease again what this process's stacks
/// hold.
struct TableReplaced {
  base::UniqueFd table;
};
using Event = std::variant<LinkOffer, PeerGone, TableReplaced>;

/// A program's connection to its user's ringwayd. Every request waits for its answer, at most 2 s;
/// events that come in between are kept for next_event(). A request that meets a daemon that went
/// away reconnects and is made again. Not thread-safe: the caller serialises. Makes no libc socket
/// call, so it can live under the shim. Destruction tells the daemon nothing: in a forked child it
/// only gives up the inherited socket.
class Client {
 public:
  /// Connects, starting the daemon if need be, and joins the network.
  static base::Result<Client> connect(ClientOptions options);

  Client(Client&&) = default;
  Client& operator=(Client&&) = default;

  /// Readable when next_event() may have something; hangs up when the daemon went away: then
  /// reconnect().
  int fd() const { return socket_.get(); }
  /// True if next_event() has something that fd() no longer shows: it came while a request waited
  /// for its answer.
  bool has_events() const { return !events_.empty(); }
  /// Changes with every connection to a daemon: fd() then is another file, whatever its number.
  std::uint32_t session() const { return session_; }
  const Membership& membership() const { return membership_; }
  /// The steering table, read-only, for steering::Table::attach(). Owned by the client.
  int table_fd() const { return table_.get(); }

  base::Result<StackId> register_stack(const StackFds& fds, bool gateway = false);
  /// This process holds a stack that an ancestor registered: it may now act for it.
  base::Result<void> join_stack(StackId stack, int arena);
  /// A clean end: everything the stack had is free, nothing is left to a reaper.
  base::Result<void> close_stack(StackId stack);
  /// This process holds the stack no longer; others do.
  void forget_stack(StackId stack);

  /// Port 0 chooses one. `flags`: steering::kEntryActive, kEntryReusePort, kEntryShared. os_errno
  /// as bind(2). A stack leases a key once, however many of its sockets share it.
  base::Result<std::uint16_t> lease_listen(StackId stack, const ListenKey& key, std::uint8_t flags);
  base::Result<void> release_listen(StackId stack, const ListenKey& key);
  base::Result<void> listen_active(StackId stack, const ListenKey& key, bool active);
  /// `stack` becomes one more (passive) holder of `from`'s listener; both must be this process's.
  base::Result<void> clone_listen(StackId stack, StackId from, const ListenKey& key);
  base::Result<PortBlock> lease_ephemeral(StackId stack, Protocol protocol);
  base::Result<void> release_ephemeral(StackId stack, Protocol protocol, PortBlock block);

  /// `memory` (a sealed memfd, only looked at) becomes the link unless the two have one: then that
  /// one is returned.
  base::Result<Link> open_link(StackId stack, StackId to, int memory);
  base::Result<Link> fetch_link(StackId stack, std::uint32_t number);
  base::Result<void> close_link(StackId stack, std::uint32_t number);
  base::Result<steering::Host> resolve(std::string_view name);

  /// Never blocks.
  std::optional<Event> next_event();

  /// Connects again (starting a daemon if need be) and tells it of every stack and link of this
  /// process. Stack ids, leases and link numbers stay as they were. Queues TableReplaced if the
  /// table is another one.
  base::Result<void> reconnect();

  /// True for descriptors that a program which closes "all" files must leave alone.
  bool owns_fd(int fd) const;

 private:
  struct Held {
    bool gateway = false;
    base::UniqueFd arena, mailbox, doorbell, life;
  };
  struct HeldLink {
    StackId stack, peer;
    std::uint32_t side = 0;
    base::UniqueFd memory;
  };
  using LinkKey = std::pair<std::uint32_t, std::uint32_t>;  // stack raw, link number

  explicit Client(ClientOptions options) : options_(std::move(options)) {}
  base::Result<void> open_session();
  base::Result<void> restore_stacks();
  base::Result<void> restore_links();
  void enqueue(proto::Received message);
  void keep_link(const Link& link);
  base::Result<proto::Received> await_reply(std::uint32_t tag);
  /// One exchange without reconnecting.
  template <typename Reply, typename Request>
  base::Result<proto::Received> exchange(const Request& request, std::span<const int> fds);
  /// One exchange, repeated once after a reconnect.
  template <typename Reply, typename Request>
  base::Result<proto::Received> call(const Request& request, std::span<const int> fds = {});
  template <typename Request>
  base::Result<void> command(const Request& request, std::span<const int> fds = {});

  ClientOptions options_;
  base::UniqueFd socket_;
  base::UniqueFd table_;
  Membership membership_;
  std::uint32_t next_tag_ = 1;
  std::uint32_t session_ = 0;
  std::deque<Event> events_;
  std::map<std::uint32_t, Held> stacks_;  // by StackId::raw
  std::map<LinkKey, HeldLink> links_;
};

}  // namespace ringway::control
