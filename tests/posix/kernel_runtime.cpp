// The runtime's interface over the kernel's own sockets: what is left to see is the shim. A program
// under this must behave as it does without it.

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <atomic>
#include <map>
#include <mutex>
#include <vector>

#include "base/sys.h"
#include "posix/sockaddr.h"
#include "runtime/runtime.h"

namespace ringway::runtime {
namespace {

namespace sys = base::sys;

constexpr int kFirst = 800;  // above what programs under test count on
constexpr std::size_t kMost = 1 << 20;

std::atomic<bool> g_owned[kMost];

struct Member {
  SetId set;
  SocketId socket;
  int tag;
};
std::mutex g_mutex;
// The kernel knows an interest by its fd: each gets one of its own.
std::map<int, Member> g_members;

int own(int low) {
  if (low < 0) return -errno;
  const int high = sys::fcntl(low, F_DUPFD_CLOEXEC, kFirst);
  const int failure = -errno;
  sys::close(low);
  if (high < 0) return failure;
  g_owned[high] = true;
  return high;
}

void disown(int fd) {
  g_owned[fd] = false;
  sys::close(fd);
}

int fd_of(SocketId s) { return static_cast<int>(s.index); }

template <typename T>
T outcome(T value) {
  return value < 0 ? -errno : value;
}

int own_int(SocketId s, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  sys::getsockopt(fd_of(s), SOL_SOCKET, name, &value, &length);
  return value;
}

int read_name(long number, SocketId s, base::Endpoint* out) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  const long got =
      sys::raw(number, fd_of(s), reinterpret_cast<long>(&address), reinterpret_cast<long>(&length));
  if (got < 0) return static_cast<int>(got);
  return posix::read_address(address.ss_family, reinterpret_cast<sockaddr*>(&address), length, out);
}

struct Name {
  sockaddr_storage address{};
  socklen_t length = sizeof address;

  Name(SocketId s, const base::Endpoint& endpoint) {
    posix::write_address(own_int(s, SO_DOMAIN), endpoint, get(), &length);
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&address); }
};

/// Time left; {0,0} for the past.
timespec left(base::Instant now, base::Instant deadline) {
  const std::int64_t ns = std::max<std::int64_t>(0, (deadline - now).ns);
  return {ns / 1'000'000'000, ns % 1'000'000'000};
}

int poll_all(std::vector<pollfd>& all, base::Instant now, base::Instant deadline,
             const sigset_t* mask) {
  timespec time = left(now, deadline);
  return outcome(sys::ppoll(all.data(), all.size(), deadline.is_never() ? nullptr : &time, mask));
}

}  // namespace

class Impl {};

Runtime::Runtime(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Runtime::~Runtime() = default;

base::Result<std::unique_ptr<Runtime>> Runtime::open(const Options&) {
  return std::unique_ptr<Runtime>(new Runtime(std::make_unique<Impl>()));
}

int Runtime::socket(int domain, int type, int protocol, SocketId* out) {
  const int fd = own(sys::socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
  if (fd < 0) return fd;
  *out = {static_cast<std::uint32_t>(fd), 1, 0};
  return 0;
}
int Runtime::bind(SocketId s, const base::Endpoint& local) {
  Name name(s, local);
  return outcome(sys::bind(fd_of(s), name.get(), name.length));
}
int Runtime::listen(SocketId s, int backlog) { return outcome(sys::listen(fd_of(s), backlog)); }
int Runtime::connect(SocketId s, const base::Endpoint& remote) {
  Name name(s, remote);
  if (remote.port == 0 && remote.address.is_any()) name.get()->sa_family = AF_UNSPEC;
  const int done = outcome(sys::connect(fd_of(s), name.get(), name.length));
  // The kernel says 0 once more when asked again after a non-blocking connect.
  if (done == 0 && own_int(s, SO_TYPE) == SOCK_STREAM) return -EISCONN;
  return done == -ECONNREFUSED ? kNotOurs : done;
}
int Runtime::accept(SocketId s, SocketId* out, base::Endpoint* peer) {
  const int fd = own(sys::accept4(fd_of(s), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd < 0) return fd;
  *out = {static_cast<std::uint32_t>(fd), 1, 0};
  return read_name(SYS_getpeername, *out, peer), 0;
}
ssize_t Runtime::send(SocketId s, const iovec* iov, int count, int flags,
                      const base::Endpoint* to) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(iov);
  message.msg_iovlen = static_cast<std::size_t>(count);
  if (to == nullptr) return outcome(sys::sendmsg(fd_of(s), &message, flags | MSG_NOSIGNAL));
  Name name(s, *to);
  message.msg_name = name.get();
  message.msg_namelen = name.length;
  return outcome(sys::sendmsg(fd_of(s), &message, flags | MSG_NOSIGNAL));
}
ssize_t Runtime::receive(SocketId s, const iovec* iov, int count, int flags, base::Endpoint* from,
                         int* out_flags) {
  sockaddr_storage address{};
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(iov);
  message.msg_iovlen = static_cast<std::size_t>(count);
  message.msg_name = &address;
  message.msg_namelen = sizeof address;
  const ssize_t got = outcome(sys::recvmsg(fd_of(s), &message, flags));
  if (got >= 0 && out_flags != nullptr) *out_flags = message.msg_flags & MSG_TRUNC;
  if (got >= 0 && from != nullptr) {
    posix::read_address(address.ss_family, reinterpret_cast<sockaddr*>(&address),
                        message.msg_namelen, from);
  }
  return got;
}
int Runtime::shutdown(SocketId s, int how) { return outcome(sys::shutdown(fd_of(s), how)); }
int Runtime::set_option(SocketId s, int level, int name, const void* value, socklen_t length) {
  return outcome(sys::setsockopt(fd_of(s), level, name, value, length));
}
int Runtime::get_option(SocketId s, int level, int name, void* value, socklen_t* length) {
  return outcome(sys::getsockopt(fd_of(s), level, name, value, length));
}
int Runtime::local_endpoint(SocketId s, base::Endpoint* out) {
  return read_name(SYS_getsockname, s, out);
}
int Runtime::peer_endpoint(SocketId s, base::Endpoint* out) {
  return read_name(SYS_getpeername, s, out);
}
int Runtime::queued_in(SocketId s) {
  int n = 0;
  return sys::ioctl(fd_of(s), SIOCINQ, &n) < 0 ? -errno : n;
}
int Runtime::queued_out(SocketId s) {
  int n = 0;
  return sys::ioctl(fd_of(s), SIOCOUTQ, &n) < 0 ? -errno : n;
}
std::uint32_t Runtime::readiness(SocketId s) {
  pollfd item{fd_of(s), POLLIN | POLLOUT | POLLRDHUP, 0};
  sys::poll(&item, 1, 0);
  return static_cast<std::uint16_t>(item.revents);
}
void Runtime::release(SocketId s) {
  const std::lock_guard lock(g_mutex);
  for (auto at = g_members.begin(); at != g_members.end();) {
    if (at->second.socket == s) {
      disown(at->first);
      at = g_members.erase(at);
    } else {
      ++at;
    }
  }
  disown(fd_of(s));
}
std::uint64_t Runtime::routes_generation() const { return 0; }
int Runtime::domain(SocketId s) { return own_int(s, SO_DOMAIN); }
int Runtime::type(SocketId s) { return own_int(s, SO_TYPE); }

int Runtime::wait(std::span<WaitItem> items, std::span<pollfd> kernel, base::Instant deadline,
                  const sigset_t* mask) {
  std::vector<pollfd> all;
  for (const WaitItem& item : items) {
    all.push_back({fd_of(item.socket), static_cast<short>(item.events), 0});
  }
  all.insert(all.end(), kernel.begin(), kernel.end());
  const int ready = poll_all(all, now(), deadline, mask);
  if (ready < 0) return ready;
  for (std::size_t i = 0; i < items.size(); ++i) {
    items[i].revents = static_cast<std::uint16_t>(all[i].revents);
  }
  for (std::size_t i = 0; i < kernel.size(); ++i) kernel[i].revents = all[items.size() + i].revents;
  return ready;
}
base::Instant Runtime::now() const {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return {time.tv_sec * 1'000'000'000 + time.tv_nsec};
}

SetId Runtime::set_create() {
  const int fd = own(sys::epoll_create1(EPOLL_CLOEXEC));
  return {fd < 0 ? 0U : static_cast<std::uint32_t>(fd)};
}
void Runtime::set_destroy(SetId set) { disown(static_cast<int>(set.value)); }
int Runtime::set_control(SetId set, int op, SocketId s, int tag, const epoll_event& event) {
  const std::lock_guard lock(g_mutex);
  int fd = -1;
  for (const auto& [number, member] : g_members) {
    if (member.set.value == set.value && member.socket == s && member.tag == tag) fd = number;
  }
  if (op == EPOLL_CTL_ADD && fd >= 0) return -EEXIST;
  if (op != EPOLL_CTL_ADD && fd < 0) return -ENOENT;
  if (op == EPOLL_CTL_ADD) {
    fd = own(sys::dup(fd_of(s)));
    if (fd < 0) return fd;
    g_members[fd] = {set, s, tag};
  }
  epoll_event copy = event;
  const int done = outcome(sys::epoll_ctl(static_cast<int>(set.value), op, fd, &copy));
  if (op == EPOLL_CTL_DEL || done < 0) {
    g_members.erase(fd);
    disown(fd);
  }
  return done;
}
int Runtime::set_collect(SetId set, std::span<epoll_event> out) {
  return outcome(
      sys::epoll_wait(static_cast<int>(set.value), out.data(), static_cast<int>(out.size()), 0));
}
int Runtime::set_wait(SetId set, std::span<epoll_event> out, std::span<pollfd> kernel,
                      base::Instant deadline, const sigset_t* mask) {
  std::vector<pollfd> all(kernel.begin(), kernel.end());
  all.push_back({static_cast<int>(set.value), POLLIN, 0});
  const int ready = poll_all(all, now(), deadline, mask);
  if (ready < 0) return ready;
  std::copy_n(all.begin(), kernel.size(), kernel.begin());
  return set_collect(set, out);
}
bool Runtime::set_ready(SetId set) {
  pollfd item{static_cast<int>(set.value), POLLIN, 0};
  return sys::poll(&item, 1, 0) > 0;
}

void Runtime::before_fork() { g_mutex.lock(); }
void Runtime::after_fork_parent(pid_t) { g_mutex.unlock(); }
void Runtime::after_fork_child() { g_mutex.unlock(); }
void Runtime::settle() {}
// The sockets are the process's own descriptors here: they go over as what they are.
std::vector<StackHandover> Runtime::before_exec(std::span<const SocketId> kept) {
  std::vector<StackHandover> handed;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (i % StackHandover::kFds == 0) handed.emplace_back().fds.fill(-1);
    handed.back().fds[i % StackHandover::kFds] = fd_of(kept[i]);
  }
  return handed;
}
std::unique_ptr<Runtime> Runtime::take_over(const Options&, std::span<const StackHandover> handed,
                                            std::span<const SocketId>) {
  for (const StackHandover& stack : handed) {
    for (const int fd : stack.fds) {
      if (fd >= 0) g_owned[fd] = true;
    }
  }
  return std::unique_ptr<Runtime>(new Runtime(std::make_unique<Impl>()));
}
void Runtime::after_failed_exec() {}
bool Runtime::pass(SocketId s, StackHandover* out) {
  struct stat status {};
  fstat(fd_of(s), &status);
  out->inode = status.st_ino;  // each socket is a stack of its own here
  out->fds.fill(-1);
  out->fds[0] = fd_of(s);
  return true;
}
void Runtime::watch_passed(SocketId, base::UniqueFd) {}
int Runtime::take(const StackHandover& handed, SocketId* s) {
  const int fd = own(handed.fds[0]);
  if (fd < 0) return fd;
  *s = {static_cast<std::uint32_t>(fd), 1, 0};
  return 0;
}
void Runtime::leave() {}
std::string Runtime::port_description() const { return {}; }
bool Runtime::inside() { return false; }
void Runtime::set_deferred_signal_hook(void (*)()) {}
void Runtime::note_deferred_signal() {}
void Runtime::note_signal() {}
bool Runtime::owns_fd(int fd) const {
  return static_cast<std::size_t>(fd) < kMost && g_owned[fd].load(std::memory_order_relaxed);
}

}  // namespace ringway::runtime
