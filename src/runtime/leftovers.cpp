// Connections that a process had not accepted when it gave up its clone of a listener: whoever else
// holds the listener accepts them (docs/decisions/0027-leftovers.md).

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/sys.h"
#include "runtime/impl.h"

namespace ringway::runtime {

namespace {

/// What lies in a stack's post: sockets of another stack, with the descriptors of that one which
/// are not -1, in order.
struct Letter {
  static constexpr std::size_t kMost = 64;
  struct Socket {
    std::uint32_t index;
    std::uint32_t generation;
  };

  std::uint32_t listener = 0;  ///< of the stack whose post it is
  std::uint32_t generation = 0;
  StackHandover stack;
  std::uint32_t count = 0;
  std::array<Socket, kMost> sockets;  ///< oldest last
};

using Control = std::array<char, CMSG_SPACE(sizeof(int) * StackHandover::kFds)>;

bool send(int post, const Letter& letter) {
  alignas(cmsghdr) Control control{};
  std::array<int, StackHandover::kFds> over;
  std::size_t n = 0;
  for (const int fd : letter.stack.fds) {
    if (fd >= 0) over[n++] = fd;
  }
  iovec part{const_cast<Letter*>(&letter), sizeof letter};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(sizeof(int) * n);
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int) * n);
  std::memcpy(CMSG_DATA(rights), over.data(), sizeof(int) * n);
  return base::sys::sendmsg(post, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof letter;
}

void close_all(Letter& letter) {
  for (std::int32_t& fd : letter.stack.fds) {
    if (fd >= 0) base::sys::close(fd);
    fd = -1;
  }
}

/// The descriptors of the letter are the caller's.
bool receive(int post, Letter& letter) {
  alignas(cmsghdr) Control control{};
  iovec part{&letter, sizeof letter};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = base::sys::recvmsg(post, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got != sizeof letter || letter.count == 0 || letter.count > Letter::kMost) return false;
  const cmsghdr* rights = CMSG_FIRSTHDR(&message);
  std::size_t left = rights == nullptr ? 0 : (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  const unsigned char* at = rights == nullptr ? nullptr : CMSG_DATA(rights);
  for (std::int32_t& fd : letter.stack.fds) {
    if (fd < 0) continue;
    fd = -1;
    if (left == 0) continue;
    std::memcpy(&fd, at, sizeof(int));
    at += sizeof(int);
    --left;
  }
  return true;
}

/// Takes the first letter for listener `index` out of the stack's post; others go to its end.
/// Precondition: the stack's lock is held.
bool find_letter(LocalStack& local, std::uint32_t index, Letter& letter) {
  constexpr int kMostLetters = 1024;
  for (int tries = 0; tries < kMostLetters; ++tries) {
    if (!receive(local.post_read.get(), letter)) return false;
    const stack::Socket* to = local.sockets->find(letter.listener, letter.generation);
    if (to != nullptr && letter.listener == index) return true;
    if (to != nullptr) send(local.post_write.get(), letter);
    close_all(letter);
  }
  return false;
}

/// Do other processes hold listener `s`?
bool is_shared(LocalStack& local, SocketId s) {
  const Look look(local);
  const stack::Socket* socket = local.sockets->find(s.index, s.generation);
  return socket != nullptr && socket->kind == stack::SocketKind::kListener &&
         (socket->holders & ~local.holder_bit & ~stack::kPassing) != 0;
}

}  // namespace

void Impl::settle_handshakes(LocalStack& local, SocketId s) {
  // Who has been answered already takes part within moments.
  const base::Instant end = clock_now() + base::Duration::milliseconds(50);
  for (;;) {
    {
      Entry entry(local);
      entry.turn();
      const stack::Socket* socket = entry.find(s.index, s.generation);
      if (socket == nullptr || socket->kind != stack::SocketKind::kListener) return;
      if (entry.tcp().handshaking(socket->object) == 0 || entry.now() >= end) return;
    }
    const timespec pause{0, 100'000};
    nanosleep(&pause, nullptr);
  }
}

bool Impl::leave_some(SocketId inherited, SocketId clone) {
  LocalStack& from = arena(clone.arena);
  Letter letter;
  letter.listener = inherited.index;
  letter.generation = inherited.generation;
  {
    Entry entry(from);
    const stack::Socket* socket = entry.find(clone.index, clone.generation);
    if (socket == nullptr || socket->kind != stack::SocketKind::kListener) return false;
    while (letter.count < Letter::kMost) {
      const int index =
          entry.sockets().accept(clone.index, from.holder_bit | stack::kPassing, nullptr);
      if (index <= 0) break;
      stack::Socket& left = entry.sockets().at(static_cast<std::uint32_t>(index));
      left.passing = 1;
      letter.sockets[letter.count++] = {static_cast<std::uint32_t>(index), left.generation};
    }
    if (letter.count == 0) return false;
    make_holder_bells(from);
    letter.stack = describe(from);
  }
  std::reverse(letter.sockets.begin(), letter.sockets.begin() + letter.count);
  bool posted = false;
  {
    LocalStack& to = arena(inherited.arena);
    Entry entry(to);
    stack::Socket* socket = entry.find(inherited.index, inherited.generation);
    const bool shared = socket != nullptr && socket->kind == stack::SocketKind::kListener &&
                        (socket->holders & ~to.holder_bit) != 0;
    posted = shared && socket->posted != UINT8_MAX && send(to.post_write.get(), letter);
    if (posted) {
      ++socket->posted;
      entry.tcp().tell_listener(socket->object);
    }
  }
  Entry entry(from);
  const std::uint64_t given_up = from.holder_bit | (posted ? 0 : stack::kPassing);
  for (std::uint32_t i = 0; i < letter.count; ++i)
    entry.sockets().release(letter.sockets[i].index, given_up, entry.now());
  return posted && letter.count == Letter::kMost;
}

void Impl::leave_queue(SocketId inherited, SocketId clone) {
  LocalStack& to = arena(inherited.arena);
  LocalStack& from = arena(clone.arena);
  // Children of this process may accept from its clone as well.
  if (!to.post_write || !is_shared(to, inherited) || is_shared(from, clone)) return;
  withdraw(from, clone);
  settle_handshakes(from, clone);
  while (leave_some(inherited, clone)) {
  }
}

int Impl::accept_left(LocalStack& local, SocketId s, SocketId* out, base::Endpoint* peer) {
  Letter letter;
  {
    Entry entry(local);
    stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr || socket->posted == 0) return -EAGAIN;
    if (!find_letter(local, s.index, letter)) {
      socket->posted = 0;
      return -EAGAIN;
    }
    const Letter::Socket& first = letter.sockets[--letter.count];
    *out = {first.index, first.generation, 0};
    if (letter.count == 0 || !send(local.post_write.get(), letter)) {
      --socket->posted;
    } else {
      entry.tcp().tell_listener(socket->object);
    }
  }
  // Its maker ended, or there is no room for one stack more: Linux knows such connections too.
  if (take(letter.stack, out) != 0) return -ECONNABORTED;
  LocalStack& from = arena(out->arena);
  Entry entry(from);
  if (peer != nullptr) *peer = entry.sockets().at(out->index).remote;
  return 0;
}

void Impl::discard_left(LocalStack& local, std::uint32_t index) {
  Letter letter;
  stack::Socket& socket = local.state().sockets.sockets[index];
  for (; socket.posted != 0; --socket.posted) {
    if (!find_letter(local, index, letter)) break;
    close_all(letter);
  }
  socket.posted = 0;
}

}  // namespace ringway::runtime
