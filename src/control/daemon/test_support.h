#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "control/client/admin.h"
#include "control/client/client.h"
#include "control/client/exchange.h"
#include "control/daemon/daemon.h"
#include "control/proto/stacks.h"
#include "mem/arena.h"
#include "steering/table.h"

// What the tests of the control plane share: a directory, a daemon in a thread, stacks made of
// empty memory.
namespace ringway::control::daemon {

/// A fresh directory with mode 0700, removed with everything in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = testing::TempDir() + "ringway-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A daemon that turns in a thread of its own.
class RunningDaemon {
 public:
  explicit RunningDaemon(const std::string& directory, std::string reaper = {}) {
    DaemonOptions options;
    options.directory = directory;
    options.stay = true;
    options.reaper_path = std::move(reaper);
    auto opened = Daemon::open(std::move(options));
    if (!opened) throw std::runtime_error(opened.error().what);
    daemon_ = std::move(*opened);
    thread_ = std::thread([this] { daemon_->run(); });
  }
  ~RunningDaemon() {
    daemon_->stop();
    thread_.join();
  }
  RunningDaemon(const RunningDaemon&) = delete;
  RunningDaemon& operator=(const RunningDaemon&) = delete;

 private:
  std::unique_ptr<Daemon> daemon_;
  std::thread thread_;
};

inline base::UniqueFd sealed_memory(std::size_t bytes = 4096) {
  return base::UniqueFd(mem::make_sealed_memfd("test", bytes).value());
}

/// The descriptors of a stack; closing `life_writer` is the death of its last holder.
struct TestStack {
  base::UniqueFd arena = sealed_memory();
  base::UniqueFd mailbox = sealed_memory();
  base::UniqueFd doorbell{base::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  base::UniqueFd life_reader;
  base::UniqueFd life_writer;

  TestStack() {
    int ends[2] = {-1, -1};
    base::sys::pipe2(ends, O_CLOEXEC);
    life_reader = base::UniqueFd(ends[0]);
    life_writer = base::UniqueFd(ends[1]);
  }
  StackFds fds() const { return {arena.get(), mailbox.get(), doorbell.get(), life_reader.get()}; }
};

inline ino_t inode(int fd) {
  struct stat status {};
  return base::sys::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/// Waits until the client has an event; the limit only ends a test that would hang.
inline std::optional<Event> await_event(Client& client) {
  for (;;) {
    if (auto event = client.next_event()) return event;
    pollfd waited{client.fd(), POLLIN, 0};
    if (base::sys::poll(&waited, 1, 10'000) != 1 || (waited.revents & POLLHUP) != 0) {
      return client.next_event();
    }
  }
}

/// Waits for an event of one kind, dropping others.
template <typename Kind>
std::optional<Kind> await(Client& client) {
  while (auto event = await_event(client)) {
    if (auto* found = std::get_if<Kind>(&*event)) return std::move(*found);
  }
  return std::nullopt;
}

/// Waits until the other side has closed, whatever is still to be read.
inline bool hangs_up(int fd) {
  pollfd waited{fd, 0, 0};
  return base::sys::poll(&waited, 1, 10'000) == 1 && (waited.revents & POLLHUP) != 0;
}

}  // namespace ringway::control::daemon
