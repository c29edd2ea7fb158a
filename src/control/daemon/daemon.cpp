#include "control/daemon/daemon.h"

#include <fmt/format.h>
#include <spdlog/sinks/null_sink.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "control/daemon/requests.h"

namespace ringway::control::daemon {

using base::ErrorCode;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

base::Instant now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return {time.tv_sec * 1'000'000'000 + time.tv_nsec};
}

// Four descriptors for a stack, one for a link, one for a client.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<UniqueFd> take_lock(int directory, base::Duration wait) {
  UniqueFd lock(sys::openat(directory, proto::kDaemonLockName,
                            O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return base::fail_errno("cannot open the lock of ringwayd");
  const auto deadline = now() + wait;
  while (sys::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (now() >= deadline) {
      return base::fail(ErrorCode::kExists, "another ringwayd runs for this user");
    }
    timespec pause{0, 5'000'000};
    sys::ppoll(nullptr, 0, &pause);
  }
  return lock;
}

UniqueFd open_spare() { return UniqueFd(sys::openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::open(DaemonOptions options) {
  const auto path = proto::runtime_directory(options.directory);
  auto directory = proto::open_runtime_directory(path);
  if (!directory) return tl::unexpected(std::move(directory).error());
  auto lock = take_lock(directory->get(), options.lock_wait);
  if (!lock) return tl::unexpected(std::move(lock).error());
  raise_file_limit();
  std::unique_ptr<Daemon> daemon(new Daemon);
  daemon->lock_ = std::move(*lock);
  daemon->idle_end_ = options.idle_end;
  daemon->wake_ = UniqueFd(sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  daemon->spare_ = open_spare();
  UniqueFd epoll(sys::epoll_create1(EPOLL_CLOEXEC));
  daemon->epoll_ = epoll.get();
  daemon->directory_ = directory->duplicate();
  if (!options.log) {
    options.log =
        std::make_shared<spdlog::logger>("null", std::make_shared<spdlog::sinks::null_sink_st>());
  }
  daemon->state_ = std::make_unique<State>(std::move(*directory), std::move(epoll), options.log,
                                           options.reaper_path);
  daemon->state_->stay = options.stay;
  daemon->state_->started_seconds = now().ns / 1'000'000'000;
  daemon->state_->reopen_networks();
  if (auto watched = daemon->watch(daemon->wake_.get(), Source::kWake); !watched) {
    return tl::unexpected(std::move(watched).error());
  }
  if (auto listening = daemon->listen(daemon->directory_.get()); !listening) {
    return tl::unexpected(std::move(listening).error());
  }
  return daemon;
}

Daemon::~Daemon() {
  if (listener_) ::unlinkat(directory_.get(), proto::kSocketName, 0);
  if (state_) state_->leave();
}

Result<void> Daemon::watch(int fd, Source source) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = Watch{source, 0, 0}.word();
  if (sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return base::fail_errno("cannot watch a descriptor");
  }
  return {};
}

// Under another name until it listens: whoever finds the name can connect.
Result<void> Daemon::listen(int directory) {
  constexpr const char* kNewName = "control.sock.new";
  UniqueFd socket(sys::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return base::fail_errno("cannot make the control socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  proto::path_within(directory, kNewName).copy(address.sun_path, sizeof address.sun_path - 1);
  ::unlinkat(directory, kNewName, 0);
  if (sys::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      sys::listen(socket.get(), 512) != 0 ||
      ::renameat(directory, kNewName, directory, proto::kSocketName) != 0) {
    return base::fail_errno("cannot listen on the control socket");
  }
  if (auto watched = watch(socket.get(), Source::kListener); !watched) return watched;
  listener_ = std::move(socket);
  return {};
}

void Daemon::accept() {
  UniqueFd socket(sys::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) {
    if (errno != EMFILE && errno != ENFILE) return;
    // Out of descriptors: the client gets a hang-up rather than silence.
    spare_.reset();
    UniqueFd refused(sys::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    refused.reset();
    spare_ = open_spare();
    state_->log().error("a client is refused: no descriptors are left");
    return;
  }
  ucred peer{};
  socklen_t length = sizeof peer;
  if (sys::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
  if (peer.uid != ::geteuid()) {
    state_->log().warn("process {} of user {} is refused", peer.pid, peer.uid);
    return;
  }
  if (state_->session_count() >= State::kMaxSessions) {
    state_->log().error("process {} is refused: there are {} clients", peer.pid,
                        State::kMaxSessions);
    return;
  }
  state_->add_session(std::move(socket), peer.pid);
}

// One message a turn: a chatty client waits for its next turn like the others.
void Daemon::receive(SessionId id) {
  auto* session = state_->session(id);
  if (session == nullptr || session->broken) return;
  auto message = proto::receive(session->socket.get());
  if (!message) {
    if (message.error().os_errno == EAGAIN || message.error().os_errno == EINTR) return;
    state_->log().warn("process {}: {}", session->pid, message.error().what);
    session->broken = true;
    return;
  }
  if (message->size == 0) {
    session->broken = true;
    return;
  }
  serve(*state_, *session, std::move(*message));
}

void Daemon::handle(const Watch& watch) {
  switch (watch.source) {
    case Source::kListener:
      return accept();
    case Source::kWake:
      state_->ending = true;
      return;
    case Source::kSession:
      return receive(watch.id);
    case Source::kLife:
      return state_->life_ended(watch);
    case Source::kProcess:
      return state_->process_ended(watch);
    case Source::kReaper:
      return state_->reaper_ended(watch);
  }
}

int Daemon::wait_limit(int timeout_ms) {
  if (!state_->idle()) {
    idle_since_ = base::Instant::never();
    return timeout_ms;
  }
  if (idle_since_.is_never()) idle_since_ = now();
  const auto left = std::max<std::int64_t>(0, (idle_since_ + idle_end_ - now()).ns);
  const auto left_ms = static_cast<int>(std::min<std::int64_t>(left / 1'000'000 + 1, 1'000'000));
  return timeout_ms < 0 ? left_ms : std::min(timeout_ms, left_ms);
}

bool Daemon::turn(int timeout_ms) {
  std::array<epoll_event, 64> events{};
  const int count = sys::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                    wait_limit(timeout_ms));
  for (int i = 0; i < count; ++i) {
    handle(Watch::from(events[static_cast<std::size_t>(i)].data.u64));
  }
  state_->sweep();
  const bool idle_over =
      count == 0 && state_->idle() && !idle_since_.is_never() && now() >= idle_since_ + idle_end_;
  if (idle_over) state_->log().info("nobody is left: ending");
  return !state_->ending && !idle_over;
}

void Daemon::run() {
  while (turn(-1)) {
  }
}

void Daemon::stop() {
  const std::uint64_t one = 1;
  sys::write(wake_.get(), &one, sizeof one);
}

}  // namespace ringway::control::daemon
