#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "sim/tcp_host.h"

namespace ringway::scenario {

/// How an application uses one connection. All random choices come from `seed`.
struct StreamPlan {
  std::uint64_t seed = 1;
  std::uint64_t send_bytes = 0;
  std::uint32_t max_write = 16'384;
  std::uint32_t max_read = 16'384;
  std::uint32_t pause_ppm = 0;  ///< chance of a pause after a read or write
  base::Duration max_pause{};
  std::uint32_t more_ppm = 0;           ///< chance that a write announces more
  std::uint64_t abort_at = UINT64_MAX;  ///< resets once so many bytes were sent and received
  bool loans = false;                   ///< reads without copying
  bool early_close = false;  ///< closes when all is sent, without waiting for the peer's end
};

/// An application on one connection: writes its plan, reads and checks what comes, shuts down and
/// closes. It acts when an event of TCP says so, so a lost wake-up shows as a run that stands
/// still.
class StreamApp final : public sim::Actor {
 public:
  StreamApp(sim::TcpHost& host, const StreamPlan& plan, std::uint64_t peer_seed);

  void connect(const base::Endpoint& local, const base::Endpoint& remote,
               const tcp::Options& options, base::Instant now);
  void adopt(std::uint32_t connection, base::Instant now);

  base::Instant next_event() const override;
  void act(base::Instant now) override;

  bool finished() const { return finished_; }
  bool opened() const { return connection_ != 0 || finished_; }
  std::uint64_t sent() const { return sent_; }
  std::uint64_t received() const { return received_; }
  int error() const { return error_; }       ///< errno that ended it
  bool saw_end() const { return saw_end_; }  ///< the peer's stream ended in order
  bool corrupted() const { return corrupted_; }
  bool aborted() const { return aborted_; }
  std::string describe() const;

  static std::byte pattern(std::uint64_t seed, std::uint64_t offset) {
    return static_cast<std::byte>(base::Random::mix(seed + offset / 8) >> (offset % 8 * 8));
  }

 private:
  void own(std::uint32_t connection);
  void write_some();
  void read_some();
  bool read_once();
  void check(std::span<const std::byte> bytes);
  bool pause(base::Instant& until);
  void fail(int error);
  void end();

  sim::TcpHost& host_;
  StreamPlan plan_;
  std::uint64_t peer_seed_;
  base::Random random_;
  std::uint32_t connection_ = 0;
  std::uint32_t socket_ = 0;
  base::Instant now_;
  base::Instant read_at_ = base::Instant::never();
  base::Instant write_at_ = base::Instant::never();
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::vector<std::byte> buffer_;
  int error_ = 0;
  bool connected_ = false;
  bool shut_ = false;
  bool saw_end_ = false;
  bool corrupted_ = false;
  bool aborted_ = false;
  bool finished_ = false;
};

}  // namespace ringway::scenario
