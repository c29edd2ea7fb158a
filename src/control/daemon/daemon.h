#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "control/daemon/log.h"
#include "control/daemon/state.h"
#include "control/proto/runtime_dir.h"

namespace ringway::control::daemon {

struct DaemonOptions {
  std::string directory;                                  // empty: proto::runtime_directory()
  base::Duration idle_end = base::Duration::seconds(10);  // after the last client has gone
  // An earlier daemon that is just ending still has the lock: how long to wait for it.
  base::Duration lock_wait{};
  bool stay = false;                    // never ends by itself
  std::string reaper_path;              // what to start for a stack that died
  std::shared_ptr<spdlog::logger> log;  // null: nothing is logged
};

/// ringwayd: names, addresses, port numbers and descriptors for the programs of one user. Never on
/// the data path: it maps no arena and no link. One thread runs it; only stop() may come from
/// others and from signal handlers.
class Daemon {
 public:
  /// Takes the directory's lock, continues what an earlier daemon left and listens.
  /// Errors: kExists if another daemon runs there.
  static base::Result<std::unique_ptr<Daemon>> open(DaemonOptions options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Handles what is there, waiting at most `timeout_ms` (-1: until something comes). False when it
  /// is to end.
  bool turn(int timeout_ms);
  /// Turns until it ends.
  void run();
  void stop();

  State& state() { return *state_; }

 private:
  Daemon() = default;
  base::Result<void> listen(int directory);
  base::Result<void> watch(int fd, Source source);
  void accept();
  void receive(SessionId id);
  void handle(const Watch& watch);
  int wait_limit(int timeout_ms);

  base::UniqueFd lock_;
  base::UniqueFd directory_;
  base::UniqueFd listener_;
  base::UniqueFd wake_;
  base::UniqueFd spare_;  // given up to accept and refuse a client when descriptors run out
  int epoll_ = -1;        // owned by state_
  std::unique_ptr<State> state_;
  base::Duration idle_end_{};
  base::Instant idle_since_ = base::Instant::never();
};

}  // namespace ringway::control::daemon
