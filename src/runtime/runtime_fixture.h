#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>

#include "runtime/runtime.h"

namespace ringway::runtime {

/// A real daemon in a directory of its own, and the network as a program sees it. Waits are bounded
/// by a deadline that only ends a test which would hang.
class RuntimeTest : public testing::Test {
 protected:
  static constexpr base::Duration kPatience = base::Duration::seconds(20);

  RuntimeTest() {
    std::string pattern = testing::TempDir() + "ringway-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    open();
  }
  ~RuntimeTest() override {
    if (runtime_) runtime_->leave();
    runtime_.reset();
    std::error_code gone_meanwhile;  // the daemon takes its own files away
    std::filesystem::remove_all(directory_, gone_meanwhile);
  }

  void open() {
    Options options;
    options.program = "runtime_test";
    options.directory = directory_;
    options.daemon_path = RINGWAYD_PATH;
    auto opened = Runtime::open(options);
    ASSERT_TRUE(opened) << opened.error().what;
    runtime_ = std::move(*opened);
  }

  SocketId stream() {
    SocketId s;
    EXPECT_EQ(runtime_->socket(AF_INET, SOCK_STREAM, 0, &s), 0);
    return s;
  }
  SocketId listener(int backlog = 16) {
    const SocketId s = stream();
    EXPECT_EQ(runtime_->bind(s, {base::IpAddress::loopback_v4(), 0}), 0);
    EXPECT_EQ(runtime_->listen(s, backlog), 0);
    SocketId none;
    base::Endpoint peer;
    EXPECT_EQ(runtime_->accept(s, &none, &peer), -EAGAIN);
    return s;
  }
  base::Endpoint name_of(SocketId s) {
    base::Endpoint name;
    EXPECT_EQ(runtime_->local_endpoint(s, &name), 0);
    return name;
  }
  base::Instant soon() const { return runtime_->now() + kPatience; }
  /// What `s` has of `events` (or error and hang-up) once it has any.
  std::uint32_t await(SocketId s, std::uint32_t events) {
    WaitItem item{s, events, 0};
    const int n = runtime_->wait({&item, 1}, {}, soon(), nullptr);
    return n == 1 ? item.revents : 0;
  }
  SocketId connect(const base::Endpoint& to) {
    const SocketId s = stream();
    const int result = runtime_->connect(s, to);
    EXPECT_TRUE(result == 0 || result == -EINPROGRESS) << result;
    return s;
  }
  SocketId accept(SocketId s) {
    SocketId out;
    base::Endpoint peer;
    EXPECT_NE(await(s, EPOLLIN) & EPOLLIN, 0U);
    EXPECT_EQ(runtime_->accept(s, &out, &peer), 0);
    return out;
  }
  ssize_t put(SocketId s, std::string text) {
    const iovec v{text.data(), text.size()};
    return runtime_->send(s, &v, 1, MSG_NOSIGNAL, nullptr);
  }
  /// Waits and reads what is there; "" at the end of the stream, "!" for an error.
  std::string get(SocketId s) {
    if (await(s, EPOLLIN) == 0) return "(nothing)";
    std::array<char, 256> buffer;
    const iovec v{buffer.data(), buffer.size()};
    const ssize_t n = runtime_->receive(s, &v, 1, 0, nullptr, nullptr);
    return n < 0 ? "!" : std::string(buffer.data(), static_cast<std::size_t>(n));
  }
  /// fork() as the shim does it; `child` returns the exit code.
  template <typename F>
  pid_t forked(F&& child) {
    if (kForkNeedsQuiet) ++forks_wanted_;
    std::unique_lock<std::shared_mutex> alone(between_steps_, std::defer_lock);
    if (kForkNeedsQuiet) alone.lock();
    runtime_->before_fork();
    const pid_t pid = ::fork();
    if (pid == 0) {
      begin_alone(alone);
      runtime_->after_fork_child();
      ::_exit(child());
    }
    runtime_->after_fork_parent(pid);
    if (kForkNeedsQuiet) --forks_wanted_;
    return pid;
  }
  /// g++ 12's thread sanitizer ends a forked child whose second keeper has the number of a thread
  /// of the parent.
#ifdef __SANITIZE_THREAD__
  static constexpr bool kChildrenMayLeave = false;
#else
  static constexpr bool kChildrenMayLeave = true;
#endif
  /// A thread that has reached its own code: until then no step() keeps a fork away from it.
  template <typename F>
  std::thread started(F body) {
    const auto begun = std::make_shared<std::atomic<bool>>(false);
    std::thread thread([begun, body] {
      *begun = true;
      begun->notify_all();
      body();
    });
    begun->wait(false);
    return thread;
  }
  /// Held by another thread of a test while it does something, for as long as the test forks.
  [[nodiscard]] std::shared_lock<std::shared_mutex> step() {
    if (!kForkNeedsQuiet) return {};
    while (forks_wanted_.load() != 0) std::this_thread::yield();
    return std::shared_lock(between_steps_);
  }
  static int code_of(pid_t pid) {
    int status = -1;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string directory_;
  std::unique_ptr<Runtime> runtime_;

 private:
  /// The child has one thread, which may fork again: nobody holds or awaits the lock here.
  void begin_alone(std::unique_lock<std::shared_mutex>& held) {
    held.release();
    std::construct_at(&between_steps_);
    forks_wanted_ = 0;
  }

  // The allocator of g++ 12's address sanitizer does not look after its locks at a fork: a thread
  // that is inside it leaves them taken in the child for ever. Elsewhere a fork may come at any
  // moment.
#ifdef __SANITIZE_ADDRESS__
  static constexpr bool kForkNeedsQuiet = true;
#else
  static constexpr bool kForkNeedsQuiet = false;
#endif
  std::atomic<int> forks_wanted_{0};
  std::shared_mutex between_steps_;
};

/// Lets a process or thread wait for another.
struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() { EXPECT_EQ(::pipe(ends), 0); }
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  void tell() const { EXPECT_EQ(::write(ends[1], "x", 1), 1); }
  void hear() const {
    char c = 0;
    EXPECT_EQ(::read(ends[0], &c, 1), 1);
  }
};

}  // namespace ringway::runtime
