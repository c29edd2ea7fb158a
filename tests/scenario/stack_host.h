#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "driver/link/link_port.h"
#include "sim/world.h"
#include "socket/sockets.h"
#include "stack/stack.h"

namespace ringway::scenario {

class StackHost;

/// Something on a host that is driven by the edges of its sockets and by times of its own.
class SocketApp {
 public:
  virtual ~SocketApp() = default;
  /// Something happened to `socket`, as a level- or edge-triggered epoll would tell.
  virtual void on_ready(std::uint32_t socket, std::uint32_t bits, base::Instant now) = 0;
  virtual base::Instant next_event() const { return base::Instant::never(); }
  virtual void on_time(base::Instant) {}
  virtual bool finished() const = 0;
  virtual std::string describe() const = 0;
};

/// One program with a whole Stack, in virtual time: turns, and tells its applications what their
/// edge-triggered set reports. A lost event is a run that never ends.
class StackHost final : public sim::Actor {
 public:
  explicit StackHost(std::uint16_t number);

  static constexpr std::uint64_t kHolder = 1;

  base::Instant next_event() const override;
  void act(base::Instant now) override;

  stack::Stack& stack() { return *stack_; }
  socket::Sockets& sockets() { return *sockets_; }
  base::IpAddress address(bool v6) const;
  /// A descriptor of the mailbox in which peers mark this host's links.
  base::UniqueFd mailbox() const { return mailbox_fd_.duplicate(); }
  /// A link to `peer`, whose other end is that stack itself or a wire that leads there.
  void add_link(driver::LinkEnd end, const StackHost& peer, bool wire);

  void add(SocketApp& app) { apps_.push_back(&app); }
  /// `app` hears of `socket` from now on.
  void watch(std::uint32_t socket, SocketApp& app);
  void close(std::uint32_t socket, base::Instant now);
  /// A user has called: output may be due although nothing arrived.
  void touch() { touched_ = true; }
  /// A socket on its way to `remote`; 0: no port was left.
  std::uint32_t connect(const StackHost& peer, std::uint16_t port, bool v6,
                        const tcp::Options& options, base::Instant now);
  std::uint32_t path_to(const StackHost& peer, bool v6);

  /// Nothing, or what was not given back at the end.
  std::string leaks() const;

 private:
  bool busy() const;

  std::uint16_t number_;
  base::UniqueFd mailbox_fd_;
  driver::MailboxMemory mailbox_;
  std::unique_ptr<stack::Stack> stack_;
  std::unique_ptr<socket::Sockets> sockets_;
  std::uint32_t set_ = 0;
  std::map<std::uint32_t, SocketApp*> watched_;
  std::vector<SocketApp*> apps_;
  bool touched_ = true;
  base::Instant last_turn_{};
  base::Instant stale_since_ = base::Instant::never();
  std::uint64_t stale_deadlines_ = 0;
};

}  // namespace ringway::scenario
