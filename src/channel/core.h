#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <span>

#include "channel/tables.h"
#include "channel/timers.h"
#include "mem/byte_queue.h"
#include "ringway/channel.h"
#include "runtime/impl.h"

namespace ringway {

/// Behind Channel: its stack, and what is under way.
///
/// One working call is one Entry: submissions are executed and flushed, then the stack receives,
/// and ready lines turn into completions. Operations that need the daemon (listen, connect, the end
/// of a listener) are executed between two Entries.
class Channel::Core {
 public:
  Core(const ChannelOptions& options, SubmissionQueue& queue);
  ~Core();
  /// Joins the network. Precondition of all that follows.
  bool join(Failure* failure);

  // --- core.cpp --------------------------------------------------------------------------------
  std::size_t submit();
  std::size_t poll(std::span<Completion> out);
  Endpoint endpoint(Handle handle, bool peer);

  // --- wait.cpp --------------------------------------------------------------------------------
  int wait(std::span<Completion> out, std::size_t least, base::Instant deadline);

  bool spin(base::Instant deadline);
  bool sleep(base::Instant deadline);
  int arm(Clock::time_point* deadline);

  Handle timer(base::Instant when, std::uint64_t user_data);
  bool cancel(Handle timer);
  /// False in a forked child.
  bool made_here() const { return getpid() == pid_; }

 private:
  using Line = channel::Line;
  using Waiting = channel::Waiting;
  static constexpr std::uint32_t kTimerBit = 1U << 31;  ///< of the handles of timers

  // --- core.cpp: one working call ----------------------------------------------------------------
  std::size_t work(std::span<Completion> out, std::size_t least);
  /// Sends, receives and completes until out_ has come to `enough`, for a short while at most.
  void receive(runtime::Entry& entry, const Completion* enough);
  void look_at_links();
  void run_timers();
  /// Cheap, without the lock: there is something to do. Looks at now_, not at the clock.
  bool news() const;
  /// A timer is due, or no turn was run for long.
  bool overdue() const;
  void refresh();
  void rise();

  // --- execute.cpp: submissions ------------------------------------------------------------------
  /// Executes what needs only the lock. True: the next submission is one for execute_outside().
  bool execute(runtime::Entry& entry);
  void execute_one(runtime::Entry& entry, const Submission& s);
  void start_accept(const Submission& s);
  void start_read(const Submission& s);
  void start_write(const Submission& s);
  void start_half_close(const Submission& s);
  void release_loan(const Submission& s);
  void close_stream(runtime::Entry& entry, const Submission& s);
  void wait_in(channel::OperationList& list, const Submission& s);

  // --- outside.cpp: submissions that need the daemon ---------------------------------------------
  bool needs_daemon(const Submission& s);
  void execute_outside(const Submission& s);
  void listen(const Submission& s);
  void connect(const Submission& s);
  void close_listener(const Submission& s);
  runtime::SocketId make_socket(const Submission& s, channel::Role role);
  void unmake_socket(const runtime::SocketId& id);

  // --- complete.cpp: from events to completions
  // ----------------------------------------------------
  void drain_events(runtime::Entry& entry);
  void complete(runtime::Entry& entry);
  void advance(runtime::Entry& entry, std::uint32_t index);
  void accept_ready(runtime::Entry& entry, std::uint32_t index);
  void finish_connect(runtime::Entry& entry, std::uint32_t index);
  void read_ready(std::uint32_t index);
  bool read_once(std::uint32_t index, Waiting& w);
  bool lend_once(std::uint32_t index, Waiting& w);
  void write_ready(std::uint32_t index);
  void cancel_all(std::uint32_t index);
  void open_line(runtime::Entry& entry, std::uint32_t index, channel::Role role);

  /// The line of a handle, nullptr if that is void.
  Line* find(Handle h) {
    if (h.index == 0 || h.index >= stack::kMaxSockets) return nullptr;
    Line& line = lines_[h.index];
    return line.generation == h.generation && line.role != channel::Role::kNone ? &line : nullptr;
  }
  Handle handle_of(std::uint32_t index) { return {index, lines_[index].generation}; }
  void make_ready(std::uint32_t index) {
    Line& line = lines_[index];
    if (line.listed) return;
    line.listed = true;
    line.next_ready = 0;
    (ready_tail_ != 0 ? lines_[ready_tail_].next_ready : ready_head_) = index;
    ready_tail_ = index;
    ++ready_count_;
  }
  bool has_room() const { return out_ != out_end_; }
  /// For the end of an operation: there is always a place (execute() sees to that).
  void emit(const Completion& c) {
    if (has_room()) {
      *out_++ = c;
    } else {
      backlog_.push(c);
    }
  }
  void fail(const Submission& s, int error) {
    emit({s.user_data, s.handle, s.operation, 0, error, 0, 0, nullptr});
  }
  void finish(const Waiting& w, std::uint32_t index, int error, std::uint32_t length = 0) {
    if (error == 0 && (w.mode & kQuiet) != 0) return;
    emit({w.user_data, handle_of(index), w.operation, 0, error, length, 0, w.data});
  }
  tcp::Tcp& tcp() { return local_->stack->tcp(); }

  SubmissionQueue& queue_;
  Completion* out_ = nullptr;
  Completion* out_end_ = nullptr;
  std::uint32_t ready_head_ = 0;
  std::uint32_t ready_tail_ = 0;
  std::uint32_t ready_count_ = 0;
  std::uint32_t idle_polls_ = 0;
  std::uint32_t busy_rounds_ = 0;
  std::uint32_t epoch_ = 0;       ///< event_epoch of the stack when all its events were seen
  std::uint32_t links_seen_ = 0;  ///< links_generation when coarse_time_ was found
  bool coarse_time_ = true;       ///< all paths are reliable: nobody measures round trips
  base::Instant now_{0};          ///< of the last look at the clock
  runtime::LocalStack* local_ = nullptr;
  std::uint32_t set_ = 0;  ///< of all sockets, in the arena: keeps events that the keeper drained
  std::uint32_t waiter_ = stack::kMaxWaiters;  ///< while armed
  channel::SparseArray<Line> lines_;
  channel::WaitingPool waiting_;
  channel::Backlog backlog_;
  channel::Timers timers_;
  std::array<std::uint64_t, mem::kMaxCells / 64> lent_{};  ///< bit by cell
  runtime::SetId set_id_;
  pid_t pid_;
  runtime::Impl impl_;
};

}  // namespace ringway
