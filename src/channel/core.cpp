// One working call of a channel.

#include "channel/core.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/relax.h"
#include "channel/endpoint.h"

namespace ringway {

using base::Duration;
using base::Instant;
using runtime::Entry;

namespace {

/// Looks for input within the lock before a wait leaves it: an answer of a peer on another core
/// takes less (about 2 us at most, well below a turn).
constexpr std::uint32_t kLingerRounds = 100;
/// The clock is read while there is nothing to do; under load every so many rounds. That is a
/// system's "coarse" time, good to a few microseconds, and only where nothing measures round trips.
constexpr std::uint32_t kBusyRounds = 8;
constexpr std::uint32_t kIdlePolls = 64;
/// A turn at least so often: the keeper need not attend.
constexpr Duration kTurnInterval = Duration::microseconds(200);

std::uint32_t power_of_two(std::uint32_t n) { return std::bit_ceil(std::clamp(n, 2U, 1U << 20)); }

runtime::Options runtime_options(const ChannelOptions& options) {
  runtime::Options o;
  o.network = options.network;
  o.host = options.host;
  o.program = options.program;
  o.directory = options.directory;
  o.daemon_path = options.daemon_path;
  return o;
}

}  // namespace

Channel::Core::Core(const ChannelOptions& options, SubmissionQueue& queue)
    : queue_(queue),
      lines_(stack::kMaxSockets),
      waiting_(power_of_two(options.operations)),
      backlog_(2 * std::max(power_of_two(options.operations), power_of_two(options.submissions))),
      timers_(power_of_two(options.timers)),
      pid_(getpid()),
      impl_(runtime_options(options)) {
  const std::uint32_t capacity = power_of_two(options.submissions);
  queue_.slots = std::make_unique<Submission[]>(capacity);
  queue_.mask = capacity - 1;
}

Channel::Core::~Core() {
  if (local_ != nullptr) impl_.leave();
}

bool Channel::Core::join(Failure* failure) {
  const auto refuse = [failure](int error, std::string what) {
    if (failure != nullptr) *failure = {error, std::move(what)};
    return false;
  };
  if (!lines_.valid() || !waiting_.valid() || !backlog_.valid()) {
    return refuse(ENOMEM, "no memory for the channel's tables: ask for smaller capacities");
  }
  const auto own = impl_.own();
  if (!own) return refuse(own.error().os_errno, own.error().what);
  set_id_ = impl_.set_create();
  Entry entry(**own);
  set_ = set_id_.valid() ? entry.sockets().sets().create((*own)->holder_bit) : 0;
  if (set_ == 0) return refuse(ENFILE, "too many channels in this process: close some");
  impl_.set_parts(set_id_).set[(*own)->number] = set_;
  local_ = *own;
  now_ = entry.now();
  return true;
}

bool Channel::Core::news() const {
  return queue_.size() != 0 || local_->stack->has_input() || ready_head_ != 0 ||
         backlog_.size() != 0 || timers_.next() <= now_ ||
         std::atomic_ref(local_->state().event_epoch).load(std::memory_order_acquire) != epoch_;
}

void Channel::Core::refresh() {
  now_ = std::max(now_, runtime::clock_now());
  busy_rounds_ = 0;
}

bool Channel::Core::overdue() const {
  const stack::StackState& state = local_->state();
  return local_->stack->next_deadline() <= now_ || timers_.next() <= now_ ||
         std::atomic_ref(const_cast<std::uint32_t&>(state.busy)).load(std::memory_order_relaxed) !=
             0 ||
         now_ - Instant{static_cast<std::int64_t>(state.last_turn_ns)} >= kTurnInterval;
}

std::size_t Channel::Core::submit() {
  if (queue_.size() != 0) work({}, 0);
  return queue_.size();
}

std::size_t Channel::Core::poll(std::span<Completion> out) {
  if (!news()) [[likely]] {
    if (idle_polls_++ % kIdlePolls != 0) return 0;
    refresh();
    if (!overdue()) return 0;
  }
  return work(out, 0);
}

std::size_t Channel::Core::work(std::span<Completion> out, std::size_t least) {
  if (waiter_ != stack::kMaxWaiters) [[unlikely]]
    rise();
  idle_polls_ = 0;
  if (!coarse_time_ || ++busy_rounds_ >= kBusyRounds) refresh();
  out_ = out.data();
  out_end_ = out.data() + out.size();
  for (; backlog_.size() != 0 && has_room(); backlog_.pop()) *out_++ = backlog_.front();
  for (bool outside = true; outside;) {
    {
      Entry entry(*local_, now_);
      now_ = entry.now();
      outside = execute(entry);
      if (!outside) receive(entry, out.data() + std::min(least, out.size()));
    }
    if (outside) execute_outside(queue_.slots[queue_.head++ & queue_.mask]);
  }
  const auto count = static_cast<std::size_t>(out_ - out.data());
  out_ = out_end_ = nullptr;
  return count;
}

void Channel::Core::receive(Entry& entry, const Completion* enough) {
  stack::Stack& stack = *local_->stack;
  // What was submitted leaves before anything else is looked at: the peer can begin.
  if (tcp().has_output()) tcp().output(now_);
  stack.flush();
  bool input = stack.has_input_inside();
  if (input || overdue()) stack.turn(now_);
  drain_events(entry);
  complete(entry);
  for (std::uint32_t round = 0; round < kLingerRounds; ++round) {
    if (out_ >= enough || !stack.bells().empty()) return;
    input = stack.has_input_inside();
    if (input) {
      stack.turn(now_);
      drain_events(entry);
      complete(entry);
    } else if (round == 0) {
      refresh();  // while the peer works
    } else {
      base::relax();
    }
  }
}

void Channel::Core::drain_events(Entry& entry) {
  tcp::Event event;
  while (tcp().next_event(event)) {
    if (event.socket != 0) make_ready(event.socket);
  }
  const std::uint32_t epoch = local_->state().event_epoch;
  if (epoch == epoch_) [[likely]]
    return;
  // Somebody else ran a turn: the keeper, or leaving the last Entry.
  epoch_ = epoch;
  std::array<epoll_event, 64> events;
  int n = 0;
  do {
    n = entry.sockets().sets().collect(set_, events, [](std::uint32_t) { return ~0U; });
    for (int i = 0; i < n; ++i) {
      make_ready(static_cast<std::uint32_t>(events[static_cast<std::size_t>(i)].data.u64));
    }
  } while (n != 0);
  look_at_links();
}

void Channel::Core::look_at_links() {
  const stack::StackState& state = local_->state();
  if (links_seen_ == state.links_generation) return;
  links_seen_ = state.links_generation;
  coarse_time_ = true;
  for (std::uint32_t i = 0; i < state.link_high; ++i) {
    const stack::LinkState& link = state.links[i];
    if (link.status == stack::LinkState::kUp && link.gateway != 0) coarse_time_ = false;
  }
}

void Channel::Core::run_timers() {
  while (has_room() && timers_.next() <= now_) {
    const channel::Timers::Due due = timers_.take();
    *out_++ = {
        due.user_data, {due.id.slot | kTimerBit, due.id.generation}, Operation::kTimer, 0, 0, 0, 0,
        nullptr};
  }
}

Handle Channel::Core::timer(Instant when, std::uint64_t user_data) {
  const auto id = timers_.add(when, user_data);
  return id.slot == 0 ? Handle{} : Handle{id.slot | kTimerBit, id.generation};
}

bool Channel::Core::cancel(Handle timer) {
  if ((timer.index & kTimerBit) == 0) return false;
  return timers_.cancel({timer.index & ~kTimerBit, timer.generation});
}

Endpoint Channel::Core::endpoint(Handle handle, bool peer) {
  const Line* line = find(handle);
  if (line == nullptr) return {};
  Entry entry(*local_, now_);
  base::Endpoint at;
  if (peer) {
    if (entry.sockets().peer(handle.index, &at) != 0) return {};
  } else {
    entry.sockets().local(handle.index, &at);
  }
  return channel::to_public(at);
}

}  // namespace ringway
