#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "runtime/handover.h"

namespace ringway::runtime {

/// A socket of a stack that this process holds. Plain data: it may be kept in shared memory and
/// stays valid over fork. `arena` is the number of the stack within this process (and its forked
/// children).
struct SocketId {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  std::uint32_t arena = 0;

  bool valid() const { return index != 0; }
  bool operator==(const SocketId&) const = default;
};

/// A set of sockets that is waited on as one (epoll's interest list). Process-local number;
/// survives fork with the kernel's meaning: parent and child share the set.
struct SetId {
  std::uint32_t value = 0;
  bool valid() const { return value != 0; }
};

/// One socket of a wait.
struct WaitItem {
  SocketId socket;
  std::uint32_t events = 0;   ///< EPOLLIN, EPOLLOUT, ... that end the wait; ERR and HUP always do
  std::uint32_t revents = 0;  ///< out
};

class Impl;

/// How a program joins: from RINGWAY_* of its environment, or given.
struct Options {
  std::string network = "default";
  std::string host;         ///< empty: the network's common host
  std::string program;      ///< shown by `ringway ss`
  std::string directory;    ///< the daemon's; empty: as RINGWAY_DIR says
  std::string port;         ///< external port, as in "xdp:eth1"; empty: none
  std::string daemon_path;  ///< ringwayd to start on demand; empty: beside this library or on PATH
  base::Duration spin = base::Duration::microseconds(50);  ///< before sleeping
};

/// The network as one process sees it: its own stack, inherited stacks, links, keeper thread,
/// daemon.
///
/// All calls but wait() are non-blocking, thread-safe and async-signal-unsafe; they return >= 0 or
/// -errno with Linux's meaning for a non-blocking socket. Nothing throws. The process joins its
/// network on first use. The implementation makes no interposed libc calls, so it can live below
/// the posix shim.
class Runtime {
 public:
  /// Joins the network: daemon, stack, links. Errors say what to do.
  static base::Result<std::unique_ptr<Runtime>> open(const Options& options);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // --- sockets -----------------------------------------------------------------------------------
  /// domain AF_INET or AF_INET6; type SOCK_STREAM or SOCK_DGRAM without flags. -EAFNOSUPPORT,
  /// -ENFILE...
  int socket(int domain, int type, int protocol, SocketId* out);
  int bind(SocketId s, const base::Endpoint& local);
  int listen(SocketId s, int backlog);
  /// 0, -EINPROGRESS, or -errno. kNotOurs: nobody in the network has this destination; a shim goes
  /// to the kernel with it, the socket is unchanged. For a datagram socket, the any address with
  /// port 0 takes the peer away (connect(2), AF_UNSPEC).
  int connect(SocketId s, const base::Endpoint& remote);
  static constexpr int kNotOurs = -1000;
  /// -EAGAIN when nothing waits. The new socket has one reference of this process.
  int accept(SocketId s, SocketId* out, base::Endpoint* peer);
  /// flags: MSG_MORE, MSG_NOSIGNAL, MSG_OOB refused with -EOPNOTSUPP. Never raises SIGPIPE: -EPIPE.
  /// `to` only for datagrams (kNotOurs if the destination is not in the network).
  ssize_t send(SocketId s, const iovec* iov, int count, int flags, const base::Endpoint* to);
  /// flags: MSG_PEEK, MSG_TRUNC. 0 is end of stream. `out_flags`: MSG_TRUNC for a cut datagram.
  ssize_t receive(SocketId s, const iovec* iov, int count, int flags, base::Endpoint* from,
                  int* out_flags);
  int shutdown(SocketId s, int how);
  /// Level and name as setsockopt(2). -ENOPROTOOPT for what a stack socket does not have.
  int set_option(SocketId s, int level, int name, const void* value, socklen_t length);
  int get_option(SocketId s, int level, int name, void* value, socklen_t* length);
  int local_endpoint(SocketId s, base::Endpoint* out);
  /// -ENOTCONN.
  int peer_endpoint(SocketId s, base::Endpoint* out);
  /// Bytes that can be read (SIOCINQ/FIONREAD; a datagram: of the next one), bytes not yet taken by
  /// the peer (SIOCOUTQ).
  int queued_in(SocketId s);
  int queued_out(SocketId s);
  /// EPOLL bits that hold now; runs a turn first.
  std::uint32_t readiness(SocketId s);
  /// This process gives up its hold (all its fds for it are closed). The last holder's release
  /// closes the socket gracefully as close(2) does (linger option honoured without blocking).
  void release(SocketId s);
  /// domain/type as given to socket(): for SO_DOMAIN, SO_TYPE and accept's address family.
  int domain(SocketId s);
  /// Changes whenever a port of the network changes hands.
  std::uint64_t routes_generation() const;
  int type(SocketId s);

  // --- waiting -----------------------------------------------------------------------------------
  /// Waits until an item's revents is not 0, a kernel fd of `kernel` has revents, or the deadline
  /// passes. Spins while traffic flows, then sleeps; kernel fds are looked at at least every 50 us.
  /// `mask`: as ppoll. Returns the number of items and fds with revents, 0 at the deadline, -EINTR
  /// when a signal came. `deadline` in now()'s time; Instant::never() waits for ever; {0} only
  /// looks.
  int wait(std::span<WaitItem> items, std::span<pollfd> kernel, base::Instant deadline,
           const sigset_t* mask);
  /// CLOCK_MONOTONIC.
  base::Instant now() const;

  // --- epoll -------------------------------------------------------------------------------------
  /// Returns an invalid id when there are too many.
  SetId set_create();
  void set_destroy(SetId set);
  /// op: EPOLL_CTL_ADD, MOD, DEL. `event.events` with EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE; `tag`
  /// tells two fds of one socket apart (the shim passes the fd number). -EEXIST, -ENOENT as
  /// epoll_ctl(2).
  int set_control(SetId set, int op, SocketId s, int tag, const epoll_event& event);
  /// Runs a turn and takes up to `out.size()` ready events, as epoll_wait(2) with timeout 0.
  int set_collect(SetId set, std::span<epoll_event> out);
  /// Waits as wait() does, for ready events of a set and for kernel fds. Returns events written to
  /// `out` (kernel fds show in their revents and are not counted), 0, or -EINTR.
  int set_wait(SetId set, std::span<epoll_event> out, std::span<pollfd> kernel,
               base::Instant deadline, const sigset_t* mask);
  /// True if set_collect would return something (for poll on an epoll fd); runs a turn.
  bool set_ready(SetId set);

  // --- fork, exit, signals -----------------------------------------------------------------------
  /// Takes every stack's lock in order and gives the child-to-be a holder slot with all references
  /// of the parent.
  void before_fork();
  /// `child`: what fork returned; negative when it failed.
  void after_fork_parent(pid_t child);
  /// The child keeps inherited sockets; it opens a stack of its own on first new use of the network
  /// (socket(), or accepting/polling an inherited listener, which is then cloned). The keeper
  /// starts again lazily.
  void after_fork_child();
  /// Makes the process's own stack now, while it may still reach the daemon (before setuid or
  /// chroot).
  void settle();
  /// Before execve: what the new image needs to find the stacks of `kept`; the descriptors stay
  /// this process's, and the caller lets them go over. Holds of stacks that are not handed over are
  /// given up. No other call until after_failed_exec().
  std::vector<StackHandover> before_exec(std::span<const SocketId> kept);
  /// What was given up stays so; the rest goes on.
  void after_failed_exec();
  /// In the new image: takes the stacks up, in this order (SocketId::arena counts them), owns the
  /// descriptors from here on, and releases everything but `kept`, given with the new numbers. The
  /// process makes a stack of its own on its first new use of the network.
  static std::unique_ptr<Runtime> take_over(const Options& options,
                                            std::span<const StackHandover> handed,
                                            std::span<const SocketId> kept);
  /// A copy of the socket goes to another process: it is held for that one from here on. `out` is
  /// what the process needs, with the socket's index and generation. False if it may not be passed.
  bool pass(SocketId s, StackHandover* out);
  /// To be called after pass(): the taker writes a byte into the other end of `end` when it has the
  /// socket. Without, the hold ends with the last copy of that other end.
  void watch_passed(SocketId s, base::UniqueFd end);
  /// The other side: owns the descriptors from here on, and sets `s->arena`. 0 or -errno.
  int take(const StackHandover& handed, SocketId* s);

  /// Releases everything that this process holds and leaves the network; unsent data is sent on by
  /// a reaper. Called from exit handlers; no other call may follow.
  void leave();
  /// True while the calling thread is inside a stack (a signal handler must be deferred).
  static bool inside();
  /// Called on leaving a stack if a signal was recorded in between: set by the shim.
  static void set_deferred_signal_hook(void (*hook)());
  /// The shim's handler calls this while inside(): the hook then runs when the thread leaves.
  static void note_deferred_signal();

  /// The shim's handler calls this for every signal, put off or not: a wait of this thread that is
  /// under way ends with -EINTR, wherever it is. Async-signal-safe.
  static void note_signal();

  /// What was chosen for the external port, in one line; empty: there is none.
  std::string port_description() const;

  /// fds that belong to the runtime (doorbells, control socket, memfds): a program that closes
  /// "all" fds must not close these; the shim asks.
  bool owns_fd(int fd) const;

 private:
  explicit Runtime(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringway::runtime
