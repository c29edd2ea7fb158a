#pragma once

#include <ringway/operation.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace ringway {

/// Why a channel could not be opened, and what to do about it.
struct Failure {
  int error = 0;  ///< errno, or 0 if no system call failed
  std::string what{};
};

/// How a channel joins a network, and how much it may hold. Capacities are rounded up to a power of
/// two.
struct ChannelOptions {
  std::string network = "default";
  std::string host{};       ///< a host of its own; empty: the network's common host
  std::string program{};    ///< shown by `ringway ss`
  std::string directory{};  ///< of ringwayd; empty: $RINGWAY_DIR, else the user's own
  std::string
      daemon_path{};  ///< ringwayd, started on demand; empty: beside this library or program
  std::uint32_t submissions = 1024;  ///< that may wait for submit(), poll() or wait()
  std::uint32_t operations = 16384;  ///< that may be under way: standing ones, waiting ones
  std::uint32_t timers = 4096;
};

/// The native way to the network: one channel per core carries everything that the core does.
///
/// After MegaPipe (Han, Marshall, Chun, Ratnasamy: "MegaPipe: A New Programming Interface for
/// Scalable Network I/O", OSDI 2012): one channel per core, lightweight handles in place of files,
/// and batches of submissions and completions. A channel has a stack of its own, so channels share
/// nothing with each other; connections to a port on which several channels listen are spread.
///
///     auto channel = ringway::Channel::open({});
///     channel->listen(Endpoint::any_v4(7), kListener);
///     std::array<Completion, 64> done;
///     for (int n = 0; n >= 0; n = channel->wait(done)) {
///       for (const Completion& c : std::span(done).first(n)) react(c); }   // submits more
///
/// Submitting only writes into a queue; submit(), poll() and wait() execute everything that is in
/// it under one lock and with one flush, in order. Each submission completes once (standing ones
/// again and again, kQuiet ones only if they fail), with its user_data and an errno. Nothing is
/// allocated and no system call is made after open() while there is traffic, but for listen, the
/// first connection to a peer, and waking a peer that sleeps.
///
/// Thread rule: one thread at a time. Not for signal handlers. After fork() only the parent may use
/// its channels; the child opens others. No call throws, and only wait() blocks.
class RINGWAY_API Channel {
 public:
  /// Joins the network; ringwayd is started if need be. Takes some milliseconds. nullptr: see
  /// `failure`, if it is given.
  static std::unique_ptr<Channel> open(const ChannelOptions& options, Failure* failure = nullptr);
  /// Closes everything, as close() does; what was written and taken is still delivered.
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // --- submissions: false when the queue is full (then call submit()), nothing else can fail here
  // --

  /// Listens on an address (any_v4, any, one's own) and port; port 0 chooses one (see local()).
  /// Errors: EADDRINUSE, EADDRNOTAVAIL, EACCES, ENETDOWN.
  bool listen(const Endpoint& at, std::uint64_t user_data, std::uint32_t backlog = 1024) {
    Submission* s = add(Operation::kListen, {}, user_data, kOnce, nullptr, backlog);
    if (s != nullptr) s->endpoint = at;
    return s != nullptr;
  }
  /// Takes connections of a listener. Errors: EBADF, EINVAL (no listener), ECANCELED (closed).
  bool accept(Handle listener, std::uint64_t user_data, std::uint8_t mode = kStanding) {
    return add(Operation::kAccept, listener, user_data, mode, nullptr, 0) != nullptr;
  }
  /// Opens a connection; what is written before it is established is not possible, as the handle
  /// comes with the completion. Errors: ECONNREFUSED, ENETUNREACH, ETIMEDOUT, EADDRNOTAVAIL...
  bool connect(const Endpoint& to, std::uint64_t user_data) {
    Submission* s = add(Operation::kConnect, {}, user_data, kOnce, nullptr, 0);
    if (s != nullptr) s->endpoint = to;
    return s != nullptr;
  }
  /// Reads what arrives, at most `size` bytes at a time (1 to 4 GiB - 1), into `buffer`, which is
  /// the channel's until the completion. A standing read fills it once per poll() or wait(): use
  /// the bytes before the next. Several reads of a connection are served in their order.
  /// Completes with length 0 at the end of the stream. Errors: EBADF, EINVAL, ECONNRESET,
  /// ETIMEDOUT, ECANCELED (closed), ENOBUFS (more than ChannelOptions::operations).
  bool read(Handle connection, void* buffer, std::size_t size, std::uint64_t user_data,
            std::uint8_t mode = kOnce) {
    return add(Operation::kRead, connection, user_data, mode, buffer, size) != nullptr;
  }
  /// Reads without a copy: the completion lends the bytes in the frame in which they arrived, until
  /// release(). They may be changed. Frames belong to a pool that the peer fills: what is kept for
  /// long is better copied. Errors as read().
  bool lend(Handle connection, std::uint64_t user_data, std::uint8_t mode = kStanding) {
    return add(Operation::kLend, connection, user_data, mode, nullptr, 0) != nullptr;
  }
  /// Gives back what a completion of lend() lent. Errors: EINVAL (not lent).
  bool release(const Completion& lent) {
    return add(Operation::kRelease, lent.handle, lent.user_data, kQuiet, nullptr, lent.loan) !=
           nullptr;
  }
  /// Writes all of `size` bytes (at most 4 GiB - 1). `from` is the channel's until the completion,
  /// which says that they are taken, not that they have arrived. kQuiet writes are over when a
  /// later completion of the same connection's writes is, or when the peer has answered. Errors:
  /// EBADF, EPIPE, ECONNRESET, ECANCELED (closed), ENOBUFS; `length` is what was taken before.
  bool write(Handle connection, const void* from, std::size_t size, std::uint64_t user_data,
             std::uint8_t mode = kOnce) {
    return add(Operation::kWrite, connection, user_data, mode, const_cast<void*>(from), size) !=
           nullptr;
  }
  /// Ends the stream to the peer behind everything that was written; reading goes on.
  /// Errors: EBADF, ENOTCONN.
  bool half_close(Handle connection, std::uint64_t user_data, std::uint8_t mode = kOnce) {
    return add(Operation::kHalfClose, connection, user_data, mode, nullptr, 0) != nullptr;
  }
  /// Closes a connection or listener. What is under way completes with ECANCELED; bytes that were
  /// taken are still delivered; bytes that arrived and were not read make it a reset (RFC 2525,
  /// 2.17). The handle is void; loans stay valid. Errors: EBADF.
  bool close(Handle handle, std::uint64_t user_data, std::uint8_t mode = kOnce) {
    return add(Operation::kClose, handle, user_data, mode, nullptr, 0) != nullptr;
  }

  // --- timers: at once, without the queue
  // ----------------------------------------------------------

  /// A completion at `when` or soon after (a busy channel looks at the time every few
  /// microseconds). Timers complete in the order of their times, equal ones in the order of the
  /// calls. An invalid handle: there are ChannelOptions::timers already.
  Handle timer(Clock::time_point when, std::uint64_t user_data);
  /// False if it has completed or was cancelled. A cancelled timer does not complete.
  bool cancel(Handle timer);

  // --- running
  // -------------------------------------------------------------------------------------

  /// Executes what was submitted. Returns how many submissions are still queued: 0 unless as many
  /// operations are under way as ChannelOptions allows, and completions are to be taken first.
  std::size_t submit();
  /// Executes what was submitted, receives what has arrived, and writes up to out.size()
  /// completions; what does not fit comes with the next call. Never blocks; when there is nothing
  /// to do, it takes no lock and some nanoseconds.
  std::size_t poll(std::span<Completion> out);
  /// The same, but comes back with at least `least` completions (at most out.size()), or with fewer
  /// when `deadline` has passed or a signal interrupts its sleep (-EINTR if there are none; one
  /// that comes before does not). Spins while traffic flows, then sleeps.
  int wait(std::span<Completion> out, std::size_t least = 1, Clock::time_point deadline = kNever);
  /// For a foreign event loop that is about to sleep: a descriptor that becomes readable when there
  /// is something to poll(); `deadline` is when poll() is to be called without that. -EAGAIN:
  /// something is there already, poll() first. Valid until the next call of submit(), poll() or
  /// wait(); it stays the same, and the channel's: do not read or close it.
  int arm(Clock::time_point* deadline);

  // --- looking
  // -------------------------------------------------------------------------------------

  /// Addresses and ports of a listener or connection; a void one (port 0) for what is gone.
  Endpoint local(Handle handle);
  Endpoint peer(Handle connection);
  /// Submissions that can be made before the queue is full.
  std::size_t room() const { return queue_.mask + std::size_t{1} - queue_.size(); }

 private:
  class Core;
  explicit Channel(const ChannelOptions& options);

  Submission* add(Operation operation, Handle handle, std::uint64_t user_data, std::uint8_t mode,
                  void* data, std::size_t length) {
    Submission* s = queue_.next();
    if (s == nullptr) return nullptr;
    s->user_data = user_data;
    s->handle = handle;
    s->operation = operation;
    s->mode = mode;
    s->data = static_cast<std::byte*>(data);
    s->length = length <= UINT32_MAX ? static_cast<std::uint32_t>(length) : 0;  // 0: EINVAL
    ++queue_.tail;
    return s;
  }

  SubmissionQueue queue_;
  std::unique_ptr<Core> core_;
};

}  // namespace ringway
