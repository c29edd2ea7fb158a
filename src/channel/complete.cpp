// From ready lines to completions.

#include <cerrno>

#include "channel/core.h"

namespace ringway {

using channel::Role;
using runtime::Entry;

namespace {

std::uint8_t flags_of(bool stands) { return stands ? Completion::kMore : std::uint8_t{0}; }

/// More to read, or the end of the stream, although no event will say so again.
bool has_more(const tcp::Connection& c) {
  return c.rx.bytes != 0 || c.error != 0 || c.state == tcp::State::kClosed ||
         (c.flags & (tcp::kFinReceived | tcp::kReadShut)) != 0;
}

}  // namespace

void Channel::Core::complete(Entry& entry) {
  run_timers();
  // One round: what is made ready again meanwhile waits for the next call.
  for (std::uint32_t left = ready_count_; left != 0 && has_room(); --left) {
    const std::uint32_t index = ready_head_;
    Line& line = lines_[index];
    ready_head_ = line.next_ready;
    if (ready_head_ == 0) ready_tail_ = 0;
    --ready_count_;
    line.listed = false;
    advance(entry, index);
  }
}

void Channel::Core::advance(Entry& entry, std::uint32_t index) {
  switch (lines_[index].role) {
    case Role::kStream:
      if (!lines_[index].output.empty()) write_ready(index);
      if (!lines_[index].input.empty()) read_ready(index);
      return;
    case Role::kListener:
      return accept_ready(entry, index);
    case Role::kConnecting:
      return finish_connect(entry, index);
    case Role::kNone:
      return;
  }
}

void Channel::Core::accept_ready(Entry& entry, std::uint32_t index) {
  while (!lines_[index].input.empty()) {
    if (!has_room()) return make_ready(index);
    const Waiting w = waiting_[lines_[index].input.head];
    const int made = entry.sockets().accept(index, local_->holder_bit, nullptr);
    if (made == -EAGAIN) return;
    if (made < 0) {
      waiting_.pop(lines_[index].input);
      finish(w, index, -made);
      continue;
    }
    const auto connection = static_cast<std::uint32_t>(made);
    open_line(entry, connection, Role::kStream);
    const bool stands = (w.mode & kStanding) != 0;
    if (!stands) waiting_.pop(lines_[index].input);
    *out_++ = {w.user_data, handle_of(connection), w.operation, flags_of(stands), 0, 0, 0, nullptr};
  }
}

void Channel::Core::finish_connect(Entry& entry, std::uint32_t index) {
  Line& line = lines_[index];
  const tcp::State state = tcp().state(line.object);
  if (state == tcp::State::kSynSent || state == tcp::State::kSynReceived) return;
  const Waiting w = waiting_[line.input.head];
  waiting_.pop(line.input);
  stack::Socket& socket = entry.sockets().at(index);
  socket.connecting = 0;
  if (state != tcp::State::kClosed) {
    line.role = Role::kStream;
    return finish(w, index, 0);
  }
  const int error = tcp().error(line.object);
  line.role = Role::kNone;
  entry.sockets().release(index, local_->holder_bit, now_);
  emit({w.user_data, {}, w.operation, 0, error != 0 ? error : ECONNABORTED, 0, 0, nullptr});
}

void Channel::Core::read_ready(std::uint32_t index) {
  channel::OperationList& list = lines_[index].input;
  while (!list.empty()) {
    if (!has_room()) return make_ready(index);
    Waiting& w = waiting_[list.head];
    const bool again = w.operation == Operation::kLend ? lend_once(index, w) : read_once(index, w);
    if (!again) return;
  }
}

/// True if the next read of the line may be looked at.
bool Channel::Core::read_once(std::uint32_t index, Waiting& w) {
  Line& line = lines_[index];
  const iovec into{w.data, w.length};
  const tcp::Io io = tcp().recv(line.object, {&into, 1}, false, now_);
  if (io.error == EAGAIN) return false;
  if (io.bytes == 0) {
    finish(w, index, io.error);
    waiting_.pop(line.input);
    return true;
  }
  const bool stands = (w.mode & kStanding) != 0;
  *out_++ = {w.user_data, handle_of(index), w.operation, flags_of(stands), 0, io.bytes, 0, w.data};
  if (!stands) {
    waiting_.pop(line.input);
    return true;
  }
  // The buffer is the user's until the next call; the rest, or the end, comes then.
  if (has_more(tcp().conn(line.object))) make_ready(index);
  return false;
}

bool Channel::Core::lend_once(std::uint32_t index, Waiting& w) {
  Line& line = lines_[index];
  const tcp::Tcp::Loan loan = tcp().recv_loan(line.object, now_);
  if (loan.cell == 0) {
    const tcp::Io io = tcp().recv(line.object, {}, false, now_);
    if (io.error == EAGAIN) return false;
    finish(w, index, io.error);
    waiting_.pop(line.input);
    return true;
  }
  lent_[loan.cell / 64] |= std::uint64_t{1} << (loan.cell % 64);
  const bool stands = (w.mode & kStanding) != 0;
  *out_++ = {w.user_data, handle_of(index), w.operation, flags_of(stands),
             0,           loan.length,      loan.cell,   const_cast<std::byte*>(loan.data)};
  if (!stands) waiting_.pop(line.input);
  return true;
}

void Channel::Core::write_ready(std::uint32_t index) {
  Line& line = lines_[index];
  while (!line.output.empty()) {
    Waiting& w = waiting_[line.output.head];
    int error = 0;
    if (w.operation == Operation::kHalfClose) {
      error = -local_->sockets->shutdown(index, SHUT_WR, now_);
    } else {
      const iovec from{w.data + w.done, w.length - w.done};
      const tcp::Io io = tcp().send(line.object, {&from, 1}, false, now_);
      w.done += io.bytes;
      error = io.error == EAGAIN ? 0 : io.error;
      if (error == 0 && w.done != w.length) return;
    }
    finish(w, index, error, w.done);
    waiting_.pop(line.output);
  }
}

}  // namespace ringway
