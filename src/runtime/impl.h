#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "control/client/client.h"
#include "runtime/handover.h"
#include "runtime/impl_parts.h"
#include "runtime/keeper.h"
#include "runtime/local_stack.h"
#include "runtime/runtime.h"
#include "steering/table.h"

namespace ringway::runtime {

/// Behind Runtime. One per process; a forked child goes on with a copy of it.
class Impl {
 public:
  static constexpr std::uint32_t kMaxArenas = SetParts::kArenas;
  static constexpr std::uint32_t kMaxSets = 1024;

  explicit Impl(Options options);
  ~Impl();

  // --- membership.cpp --------------------------------------------------------------------------
  /// Joins the network and makes the process's own stack, once. Errors are remembered for a moment.
  base::Result<LocalStack*> own();
  LocalStack& arena(std::uint32_t number) { return *arenas_[number]; }
  std::uint32_t arena_count() const { return arena_count_.load(std::memory_order_acquire); }
  /// The daemon's client, connected; nullptr if that is not possible now. Precondition:
  /// control_mutex_ is held.
  control::Client* client();
  /// The client, allowed to act for `local`. Precondition: control_mutex_ is held.
  control::Client* client_for(LocalStack& local);
  void lock_control() { control_mutex_.lock(); }
  /// What the daemon said while a request waited for its answer is left to the keeper.
  void unlock_control();
  /// nullptr before the process has joined. Stays valid for ever.
  const steering::Table* table() const { return table_.load(std::memory_order_acquire); }
  void leave();

  // --- links.cpp -------------------------------------------------------------------------------
  /// The link of `local` to `peer`; made if there is none. kNoLink if that failed.
  std::uint16_t link_to(LocalStack& local, steering::StackId peer);
  /// Handles what the daemon sent. Called by the keeper when the control socket is readable.
  void control_events();
  /// The life pipe of a peer hung up.
  void peer_died(std::uint32_t arena, std::uint16_t link);
  /// Fetches the memory of links that another holder made.
  void map_missing_links(LocalStack& local);
  /// Once more, after some could not be had.
  void fetch_links_again();

  // --- devices.cpp -----------------------------------------------------------------------------
  std::string port_description() const { return port_description_; }
  /// The kernel or ringway-netd has news about a device. Called by the keeper. False: the daemon
  /// has hung up.
  bool device_events();
  /// Neighbours that a stack waits for are asked by whoever may.
  void resolve_wanted(LocalStack& local);

  // --- listen.cpp ------------------------------------------------------------------------------
  int bind(SocketId s, const base::Endpoint& local);
  int listen(SocketId s, int backlog);
  int accept(SocketId s, SocketId* out, base::Endpoint* peer);
  /// The clone of an inherited listener; made on first use. nullptr: not an inherited listener.
  const Clone* clone_of(SocketId s);
  const Clone* find_clone(SocketId s);
  void announce_active(LocalStack& local, SocketId s);
  void release(SocketId s);

  // --- connect.cpp -----------------------------------------------------------------------------
  int connect(SocketId s, const base::Endpoint& remote);
  /// Sends one datagram to `to`, or to the socket's peer if that is nullptr.
  ssize_t send_datagram(SocketId s, std::span<const iovec> from, const base::Endpoint* to);

  // --- wait.cpp --------------------------------------------------------------------------------
  int wait(std::span<WaitItem> items, std::span<pollfd> kernel, base::Instant deadline,
           const sigset_t* mask);
  int set_wait(SetId set, std::span<epoll_event> out, std::span<pollfd> kernel,
               base::Instant deadline, const sigset_t* mask);

  // --- sets.cpp --------------------------------------------------------------------------------
  SetId set_create();
  void set_destroy(SetId set);
  int set_control(SetId set, int op, SocketId s, int tag, const epoll_event& event);
  int set_collect(SetId set, std::span<epoll_event> out);
  bool set_ready(SetId set);

  // --- fork.cpp --------------------------------------------------------------------------------
  void before_fork();
  void after_fork_parent(pid_t child);
  void after_fork_child();
  /// A forked process that was watched has died: its holds are given up, and its own children are
  /// watched in its place.
  void holder_process_died(std::uint32_t pid);
  /// A forked child that is about to sleep has a keeper too: its parent may end before it does.
  void ensure_keeper();
  bool owns_fd(int fd) const;

  // --- exec.cpp --------------------------------------------------------------------------------
  std::vector<StackHandover> before_exec(std::span<const SocketId> kept);
  void after_failed_exec();
  void take_over(std::span<const StackHandover> handed, std::span<const SocketId> kept);

  // --- passing.cpp -----------------------------------------------------------------------------
  bool pass(SocketId s, StackHandover* out);
  void watch_passed(SocketId s, base::UniqueFd end);
  int take(const StackHandover& handed, SocketId* s);
  /// The passport was opened, or is gone. Called by the keeper.
  void passing_ended(int fd);

  // --- leftovers.cpp ---------------------------------------------------------------------------
  /// Before the clone of an inherited listener closes: what it has not accepted is left to the
  /// others that hold the listener.
  void leave_queue(SocketId inherited, SocketId clone);

  /// Watches all who hold stacks of this process, whoever gave these to them. Called by the keeper.
  void watch_strangers() { watch_holders(Whom::kAll); }

  const Options& options() const { return options_; }
  Keeper& keeper() { return keeper_; }
  SetParts& set_parts(SetId set) { return sets_[set.value]; }

 private:
  base::Result<LocalStack*> make_own();
  base::Result<std::unique_ptr<LocalStack>> make_stack(const steering::Host& host);
  base::Result<std::unique_ptr<LocalStack>> open_stack(const StackHandover& handed);
  std::uint32_t add_arena(std::unique_ptr<LocalStack> local);
  void not_taken(SocketId s);
  /// The stack of a passed socket, opened if need be; kMaxArenas if that fails.
  std::uint32_t arena_for(StackHandover handed);
  std::uint32_t arena_of(std::uint64_t inode) const;
  /// What the image before this one held and did not keep is given up.
  void forget_old_image(LocalStack& local, std::span<const SocketId> kept);
  void replace_table(base::UniqueFd fd);
  void lease_again();
  std::vector<std::pair<steering::ListenKey, std::uint8_t>> leases_of(LocalStack& local);
  base::Result<std::uint16_t> take_link(LocalStack& local, control::Link link);
  /// False: it could not be had, and is still wanted.
  bool map_missing_link(LocalStack& local, control::Client& c, std::uint16_t index,
                        std::uint32_t number);
  void peer_gone(LocalStack& local, steering::StackId peer);
  void forget_peer(LocalStack& local, std::uint16_t index);
  void drop_link(LocalStack& local, Entry& entry, std::uint16_t index);
  /// Stays until what is due has left, 200 ms at most. True if connections still owe something,
  /// which only the last holder asks.
  bool linger(LocalStack& local, bool last);
  void drop_holds(LocalStack& local, std::uint64_t bit, base::Instant now);
  void forget_process(std::uint32_t pid);
  void watch_process(std::uint32_t pid);
  enum class Whom : std::uint8_t { kAsHeir, kAll };
  /// As an heir only the maker of an inherited stack: as long as that lives, it watches the others.
  void watch_holders(Whom whom = Whom::kAsHeir);
  void start_keeper();
  /// Precondition: the lock of `local` is held.
  void watch_peers(LocalStack& local);
  LocalStack* find_arena(steering::StackId id);
  std::uint16_t lease_ports(LocalStack& local, steering::Protocol protocol,
                            const base::IpAddress& from, const base::Endpoint& to);
  /// Who has `to`, and over which link. 0, -ECONNREFUSED, kNotOurs, ...
  int route(LocalStack& local, steering::Protocol protocol, const base::Endpoint& to,
            std::uint16_t* link, base::IpAddress* source);
  /// The port of a datagram socket is its own at the device too.
  bool datagram_at_device(LocalStack& local, SocketId s);
  /// How `to` is reached by the stack's own device; false: not by it.
  bool by_device(LocalStack& local, const base::Endpoint& to, std::uint16_t* port,
                 base::IpAddress* source);
  std::uint16_t device_port(LocalStack& local, steering::Protocol protocol,
                            const base::IpAddress& source, const base::Endpoint& to);
  /// Takes a port at a device too. 0 or -errno.
  int device_lease(LocalStack& local, steering::Protocol protocol, const base::Endpoint& at);
  void device_release(LocalStack& local, steering::Protocol protocol, const base::Endpoint& at);
  void leave_device(LocalStack& local, SocketId s);
  bool device_has(LocalStack& local, const base::IpAddress& address);
  int bind_at_device(LocalStack& local, SocketId s, base::Endpoint at);
  base::Result<void> open_device(LocalStack& local);
  int connect_datagram(LocalStack& local, SocketId s, const base::Endpoint& to);
  /// Gives a datagram socket an ephemeral port if it is not bound.
  int bind_datagram(LocalStack& local, SocketId s);
  const Clone* find_clone_locked(SocketId s) const;
  const Clone* make_clone(SocketId s);
  bool lease_clone(LocalStack& local, LocalStack& from, const steering::ListenKey& key);
  int accept_in(SocketId s, SocketId* out, base::Endpoint* peer);
  void leave_queues();
  void settle_handshakes(LocalStack& local, SocketId s);
  /// One letter of connections; true if there may be more.
  bool leave_some(SocketId inherited, SocketId clone);
  /// A connection that another process left.
  int accept_left(LocalStack& local, SocketId s, SocketId* out, base::Endpoint* peer);
  /// Nobody accepts on listener `index` any more. Precondition: the stack's lock is held.
  void discard_left(LocalStack& local, std::uint32_t index);
  /// Another socket of this stack has the key and does not share it.
  bool is_taken(LocalStack& local, const stack::Socket& wanted, const steering::ListenKey& key);
  bool leased_by_another(LocalStack& local, std::uint32_t index);
  /// Gives the lease of a socket back that only this process holds.
  void withdraw(LocalStack& local, SocketId s);
  void withdraw_all(LocalStack& local);
  void release_in(LocalStack& local, SocketId s);

  Options options_;
  std::mutex setup_mutex_;
  std::mutex control_mutex_;
  std::optional<control::Client> client_;
  base::Instant client_retry_{0};
  base::Error join_error_;
  bool device_opened_ = false;  ///< by this process or one that it was forked from
  std::string port_description_;
  bool control_lost_ = false;  ///< the daemon went away and could not be reached since
  std::atomic<const steering::Table*> table_{nullptr};
  std::vector<std::unique_ptr<const steering::Table>>
      tables_;  ///< readers may still be in an old one
  std::array<std::unique_ptr<LocalStack>, kMaxArenas> arenas_;
  std::atomic<std::uint32_t> arena_count_{0};
  std::atomic<LocalStack*> own_{nullptr};
  std::mutex clones_mutex_;
  std::vector<std::unique_ptr<Clone>> clones_;
  std::mutex sets_mutex_;
  std::array<SetParts, kMaxSets> sets_;
  mutable std::mutex watched_mutex_;
  std::map<int, Passed> passed_;        ///< under watched_mutex_, by the fd of `end`
  std::vector<std::uint32_t> watched_;  ///< processes that hold arenas of this one
  std::array<std::uint32_t, kMaxArenas> child_holder_{};
  std::atomic<std::uint64_t> route_count_{0};
  Keeper keeper_{*this};
  std::atomic<bool> left_{false};
  bool keeper_stopped_ = false;  ///< by before_exec()
};

/// Speaking with the daemon: holds the control mutex for a scope.
class ControlScope {
 public:
  explicit ControlScope(Impl& impl) : impl_(impl) { impl_.lock_control(); }
  ~ControlScope() { impl_.unlock_control(); }
  ControlScope(const ControlScope&) = delete;
  ControlScope& operator=(const ControlScope&) = delete;

 private:
  Impl& impl_;
};

}  // namespace ringway::runtime
