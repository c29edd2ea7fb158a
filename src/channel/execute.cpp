// Submissions that need only the stack's lock.

#include <cerrno>

#include "channel/core.h"

namespace ringway {

using channel::Role;
using runtime::Entry;

bool Channel::Core::execute(Entry& entry) {
  while (queue_.size() != 0) {
    // Whatever is under way has a place in the backlog for its end, and so has this one.
    if (waiting_.in_use() + backlog_.size() >= backlog_.capacity()) return false;
    const Submission& s = queue_.slots[queue_.head & queue_.mask];
    if (needs_daemon(s)) [[unlikely]]
      return true;
    execute_one(entry, s);
    ++queue_.head;
  }
  return false;
}

void Channel::Core::execute_one(Entry& entry, const Submission& s) {
  switch (s.operation) {
    case Operation::kWrite:
      return start_write(s);
    case Operation::kRead:
    case Operation::kLend:
      return start_read(s);
    case Operation::kRelease:
      return release_loan(s);
    case Operation::kAccept:
      return start_accept(s);
    case Operation::kHalfClose:
      return start_half_close(s);
    case Operation::kClose:
      return close_stream(entry, s);
    default:
      return fail(s, EINVAL);
  }
}

void Channel::Core::wait_in(channel::OperationList& list, const Submission& s) {
  if (waiting_.append(list, s) == nullptr) fail(s, ENOBUFS);
}

void Channel::Core::start_accept(const Submission& s) {
  Line* line = find(s.handle);
  if (line == nullptr) return fail(s, EBADF);
  if (line->role != Role::kListener) return fail(s, EINVAL);
  wait_in(line->input, s);
  make_ready(s.handle.index);
}

void Channel::Core::start_read(const Submission& s) {
  Line* line = find(s.handle);
  if (line == nullptr) return fail(s, EBADF);
  if (line->role != Role::kStream || (s.operation == Operation::kRead && s.length == 0)) {
    return fail(s, EINVAL);
  }
  if (line->input.empty()) make_ready(s.handle.index);
  wait_in(line->input, s);
}

void Channel::Core::start_write(const Submission& s) {
  Line* line = find(s.handle);
  if (line == nullptr) return fail(s, EBADF);
  if (line->role != Role::kStream || s.length == 0) return fail(s, EINVAL);
  std::uint32_t taken = 0;
  if (line->output.empty()) [[likely]] {
    const iovec from{s.data, s.length};
    const tcp::Io io = tcp().send(line->object, {&from, 1}, false, now_);
    if (io.bytes == s.length) [[likely]] {
      if ((s.mode & kQuiet) == 0) {
        emit({s.user_data, s.handle, s.operation, 0, 0, s.length, 0, s.data});
      }
      return;
    }
    if (io.error != 0 && io.error != EAGAIN) return fail(s, io.error);
    taken = io.bytes;
  }
  Waiting* w = waiting_.append(line->output, s);
  if (w != nullptr) {
    w->done = taken;
  } else {
    emit({s.user_data, s.handle, s.operation, 0, ENOBUFS, taken, 0, s.data});
  }
}

void Channel::Core::start_half_close(const Submission& s) {
  Line* line = find(s.handle);
  if (line == nullptr) return fail(s, EBADF);
  if (line->role != Role::kStream) return fail(s, ENOTCONN);
  wait_in(line->output, s);
  write_ready(s.handle.index);
}

void Channel::Core::release_loan(const Submission& s) {
  const std::uint32_t cell = s.length;
  const std::uint64_t bit = std::uint64_t{1} << (cell % 64);
  if (cell == 0 || cell >= mem::kMaxCells || (lent_[cell / 64] & bit) == 0) return fail(s, EINVAL);
  lent_[cell / 64] &= ~bit;
  tcp::Tcp::Loan loan;
  loan.cell = cell;
  tcp().return_loan(loan);
}

void Channel::Core::close_stream(Entry& entry, const Submission& s) {
  Line* line = find(s.handle);
  if (line == nullptr) return fail(s, EBADF);
  cancel_all(s.handle.index);
  line->role = Role::kNone;
  entry.sockets().release(s.handle.index, local_->holder_bit, now_);
  if ((s.mode & kQuiet) == 0) emit({s.user_data, s.handle, s.operation, 0, 0, 0, 0, nullptr});
}

void Channel::Core::cancel_all(std::uint32_t index) {
  Line& line = lines_[index];
  for (channel::OperationList* list : {&line.input, &line.output}) {
    while (!list->empty()) {
      const Waiting& w = waiting_[list->head];
      finish(w, index, ECANCELED, w.operation == Operation::kWrite ? w.done : 0);
      waiting_.pop(*list);
    }
  }
}

}  // namespace ringway
