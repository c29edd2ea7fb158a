// Submissions that need the daemon: between two entries, as a call to it may take a while.

#include <netinet/in.h>

#include <cerrno>

#include "channel/core.h"
#include "channel/endpoint.h"

namespace ringway {

using channel::Role;
using runtime::Entry;

bool Channel::Core::needs_daemon(const Submission& s) {
  if (s.operation == Operation::kListen || s.operation == Operation::kConnect) return true;
  if (s.operation != Operation::kClose) return false;
  const Line* line = find(s.handle);
  return line != nullptr && line->role == Role::kListener;
}

void Channel::Core::execute_outside(const Submission& s) {
  if (s.operation == Operation::kListen) {
    listen(s);
  } else if (s.operation == Operation::kConnect) {
    connect(s);
  } else {
    close_listener(s);
  }
}

void Channel::Core::open_line(Entry& entry, std::uint32_t index, Role role) {
  Line& line = lines_[index];
  const stack::Socket& socket = entry.sockets().at(index);
  line.generation = socket.generation;
  line.object = socket.object;
  line.role = role;
  line.input = line.output = {};
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = index;
  entry.sockets().sets().control(set_, EPOLL_CTL_ADD, index, 0, event, 0);
}

runtime::SocketId Channel::Core::make_socket(const Submission& s, Role role) {
  const base::IpAddress address = channel::to_internal(s.endpoint).address;
  Entry entry(*local_, now_);
  const std::uint32_t index =
      entry.sockets().create(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM, local_->holder_bit);
  if (index == 0) return {};
  stack::Socket& socket = entry.sockets().at(index);
  socket.options.no_delay = true;  // whoever submits in batches has done what Nagle would do
  open_line(entry, index, role);
  return {index, socket.generation, local_->number};
}

void Channel::Core::unmake_socket(const runtime::SocketId& id) {
  lines_[id.index].role = Role::kNone;
  impl_.release(id);
}

void Channel::Core::listen(const Submission& s) {
  const runtime::SocketId id = make_socket(s, Role::kListener);
  if (!id.valid()) return fail(s, ENFILE);
  int result = impl_.bind(id, channel::to_internal(s.endpoint));
  if (result == 0) result = impl_.listen(id, static_cast<int>(s.length & INT32_MAX));
  if (result != 0) {
    unmake_socket(id);
    return fail(s, -result);
  }
  impl_.announce_active(*local_, id);
  {
    Entry entry(*local_, now_);
    lines_[id.index].object = entry.sockets().at(id.index).object;
  }
  emit({s.user_data, {id.index, id.generation}, s.operation, 0, 0, 0, 0, nullptr});
}

void Channel::Core::connect(const Submission& s) {
  const runtime::SocketId id = make_socket(s, Role::kConnecting);
  if (!id.valid()) return fail(s, ENFILE);
  const base::Endpoint to = channel::to_internal(s.endpoint);
  int result = impl_.connect(id, to);
  Line& line = lines_[id.index];
  if (result == -EINPROGRESS && waiting_.append(line.input, s) == nullptr) result = -ENOBUFS;
  if (result == -EINPROGRESS) {
    Entry entry(*local_, now_);
    line.object = entry.sockets().at(id.index).object;
    make_ready(id.index);
    return;
  }
  unmake_socket(id);
  if (result == runtime::Runtime::kNotOurs) {
    result = to.address.is_loopback() || to.address.is_any() ? -ECONNREFUSED : -ENETUNREACH;
  }
  fail(s, -result);
}

void Channel::Core::close_listener(const Submission& s) {
  const std::uint32_t index = s.handle.index;
  cancel_all(index);
  unmake_socket({index, s.handle.generation, local_->number});
  if ((s.mode & kQuiet) == 0) emit({s.user_data, s.handle, s.operation, 0, 0, 0, 0, nullptr});
}

}  // namespace ringway
