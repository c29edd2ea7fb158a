#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "control/daemon/log.h"
#include "control/daemon/network.h"
#include "control/daemon/session.h"
#include "control/proto/channel.h"
#include "control/proto/links.h"

namespace ringway::control::daemon {

/// What an epoll event is about.
enum class Source : std::uint8_t { kListener, kWake, kSession, kLife, kProcess, kReaper };

struct Watch {
  Source source = Source::kListener;
  std::uint32_t network = 0;  // the network's serial, 24 bits
  std::uint32_t id = 0;       // session id or StackId::raw

  std::uint64_t word() const {
    return static_cast<std::uint64_t>(source) << 56 | static_cast<std::uint64_t>(network) << 32 |
           id;
  }
  static Watch from(std::uint64_t word) {
    return {static_cast<Source>(word >> 56), static_cast<std::uint32_t>(word >> 32) & 0xffffff,
            static_cast<std::uint32_t>(word)};
  }
};

/// Everything that ringwayd knows, and what happens to it: sessions come and go, stacks end, peers
/// are told. One thread.
class State {
 public:
  static constexpr std::size_t kMaxSessions = 4096;
  static constexpr std::size_t kMaxNetworks = 64;
  static constexpr std::size_t kMaxLinksPerStack = 4096;

  State(base::UniqueFd directory, base::UniqueFd epoll, std::shared_ptr<spdlog::logger> log,
        std::string reaper_path);

  /// Continues the networks whose tables are in the runtime directory, without what has ended
  /// meanwhile.
  void reopen_networks();
  /// Removes the tables that nobody needs any more.
  void leave();

  // --- sessions
  void add_session(base::UniqueFd socket, std::int32_t pid);
  Session* session(SessionId id);
  /// Sends, or marks the session to be dropped: a slow client must not hold up the others.
  template <typename T>
  bool send(Session& to, const T& message, std::uint32_t tag, std::span<const int> fds = {}) {
    return sent(to, proto::send(to.socket.get(), message, tag, fds));
  }
  /// Drops the sessions that broke in this turn.
  void sweep();

  // --- networks
  /// Made with the next free subnet if it is not there.
  base::Result<Network*> network_for(std::string_view name);
  Network* find_network(std::string_view name);
  base::Result<void> add_network(const steering::Network& description);
  base::Result<void> remove_network(std::string_view name);
  const std::map<std::string, std::unique_ptr<Network>>& networks() const { return networks_; }
  /// Is one of the 10.111.0.0/16 and up, or an explicit one, in the way of this subnet?
  bool subnet_taken(const base::Prefix& prefix) const;

  // --- stacks and links
  /// Watches the life pipe of a stack that has just got its descriptors.
  base::Result<void> watch_life(Network& network, StackId id);
  /// Sends the offer of a link to every process that holds the stack at `side`.
  void offer(Network& network, std::uint32_t number, std::uint32_t side);
  void offer_untold(Network& network, StackId id);
  /// The peer at the other end of a link of `from` learns that it is gone; the link is forgotten.
  void drop_link(Network& network, std::uint32_t number, StackId from, proto::Gone how);
  /// `clean`: nothing is left to close. Otherwise a reaper takes over if there is one.
  void end_stack(Network& network, StackId id, bool clean);
  std::uint32_t serial_of(const Network& network) const;

  // --- events of the loop
  void life_ended(const Watch& watch);
  void process_ended(const Watch& watch);
  void reaper_ended(const Watch& watch);

  bool idle() const;
  std::size_t session_count() const { return sessions_.size(); }
  spdlog::logger& log() { return *log_; }

  bool stay = false;
  bool ending = false;
  std::int64_t started_seconds = 0;

 private:
  bool sent(Session& to, const base::Result<void>& result);
  void drop_session(SessionId id);
  void adopt_stacks(Network& network);
  bool start_reaper(Network& network, StackId id);
  void forget_stack(Network& network, StackId id);
  void unwatch(const base::UniqueFd& fd);
  base::Result<void> watch(int fd, const Watch& watch, std::uint32_t events);
  void drop_unused_host(Network& network, steering::HostIndex host);
  void drop_unused_network(Network& network);
  Network* network_of(const Watch& watch);

  base::UniqueFd directory_;
  base::UniqueFd epoll_;
  std::shared_ptr<spdlog::logger> log_;
  std::string reaper_path_;
  std::map<SessionId, std::unique_ptr<Session>> sessions_;
  std::map<std::string, std::unique_ptr<Network>> networks_;
  std::map<const Network*, std::uint32_t> serials_;
  SessionId next_session_ = 1;
  std::uint32_t next_serial_ = 1;
};

}  // namespace ringway::control::daemon
