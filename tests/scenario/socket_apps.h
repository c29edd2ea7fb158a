#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/scenario/stack_host.h"

namespace ringway::scenario {

/// What one end of a stream does: writes and reads in random pieces with random pauses (a pause in
/// reading closes the window), and closes.
struct EndPlan {
  std::uint64_t seed = 1;
  std::uint32_t send_bytes = 0;
  std::uint32_t max_write = 1000;
  std::uint32_t max_read = 1000;
  std::uint32_t pause_ppm = 0;
  base::Duration max_pause{};
  bool fin_last = false;                ///< closes its direction only after the peer has
  bool early_close = false;             ///< closes without reading, once all is written
  std::uint32_t reset_at = UINT32_MAX;  ///< resets after so many bytes, both directions together
};

/// A stream of one client: the server knows it by the number that the client sends first.
struct DuplexPlan {
  EndPlan client;
  EndPlan server;
};
using Plans = std::vector<DuplexPlan>;

/// One end of a stream.
class StreamEnd final : public SocketApp {
 public:
  static constexpr std::uint32_t kNumberBytes = 4;

  /// A client, on a socket that is connecting.
  StreamEnd(StackHost& host, const Plans& plans, std::uint32_t number, std::uint32_t socket);
  /// A server, on a socket that was accepted.
  StreamEnd(StackHost& host, const Plans& plans, std::uint32_t socket);

  void on_ready(std::uint32_t, std::uint32_t, base::Instant now) override { step(now); }
  base::Instant next_event() const override { return resume_; }
  void on_time(base::Instant now) override { step(now); }
  bool finished() const override { return closed_; }
  std::string describe() const override;

  /// True if all that the peer was to send has come, and no error.
  bool complete() const { return !corrupted_ && error_ == 0 && closed_ && received_ == expected(); }
  bool corrupted() const { return corrupted_; }
  int error() const { return error_; }

 private:
  bool known() const { return number_ != UINT32_MAX; }
  const EndPlan& plan() const;
  const EndPlan& peer_plan() const;
  std::uint32_t expected() const;
  std::uint32_t to_send() const;
  std::byte outgoing(std::uint32_t at) const;
  void step(base::Instant now);
  bool settle(base::Instant now);
  void write(base::Instant now);
  void read(base::Instant now);
  void check(std::span<const std::byte> bytes);
  void check_byte(std::byte b);
  bool pause(base::Instant now);
  void finish(base::Instant now);
  void fail(int error, base::Instant now);
  void close(base::Instant now);

  StackHost& host_;
  const Plans& plans_;
  bool client_;
  std::uint32_t number_ = UINT32_MAX;
  std::uint32_t heard_number_ = 0;
  std::uint32_t socket_;
  base::Random random_;
  std::vector<std::byte> buffer_;
  std::uint32_t sent_ = 0;
  std::uint32_t received_ = 0;
  bool connecting_;
  bool fin_sent_ = false;
  bool fin_received_ = false;
  bool closed_ = false;
  bool corrupted_ = false;
  int error_ = 0;
  base::Instant resume_ = base::Instant::never();
};

/// Accepts streams.
class Server final : public SocketApp {
 public:
  static constexpr std::uint16_t kPort = 80;

  Server(StackHost& host, const Plans& plans, bool v6, const tcp::Options& options);
  void on_ready(std::uint32_t, std::uint32_t, base::Instant) override;
  bool finished() const override;
  std::string describe() const override;
  void stop(base::Instant now) { host_.close(socket_, now); }
  const std::vector<std::unique_ptr<StreamEnd>>& ends() const { return ends_; }

 private:
  StackHost& host_;
  const Plans& plans_;
  std::uint32_t socket_ = 0;
  std::vector<std::unique_ptr<StreamEnd>> ends_;
};

/// Opens the streams [first, last) to one server, one after the other.
class Client final : public SocketApp {
 public:
  struct Target {
    StackHost* peer;
    std::uint16_t port;
    bool v6;
    tcp::Options options;
  };
  Client(StackHost& host, const Plans& plans, std::uint32_t first, std::uint32_t last,
         const Target& target)
      : host_(host), plans_(plans), next_(first), last_(last), target_(target) {}

  void on_ready(std::uint32_t, std::uint32_t, base::Instant) override {}
  base::Instant next_event() const override;
  void on_time(base::Instant now) override;
  bool finished() const override {
    return next_ == last_ && (ends_.empty() || ends_.back()->finished());
  }
  std::string describe() const override;
  const std::vector<std::unique_ptr<StreamEnd>>& ends() const { return ends_; }

 private:
  StackHost& host_;
  const Plans& plans_;
  std::uint32_t next_;
  std::uint32_t last_;
  Target target_;
  base::Instant retry_{};
  std::vector<std::unique_ptr<StreamEnd>> ends_;
};

/// Sends datagrams of many sizes to a peer that checks each, and to a port that nobody has, until
/// it hears of that.
class Datagrams final : public SocketApp {
 public:
  static constexpr std::uint16_t kPort = 7000;

  Datagrams(StackHost& host, StackHost& peer, std::uint32_t count, std::uint64_t seed);
  void on_ready(std::uint32_t, std::uint32_t, base::Instant now) override;
  base::Instant next_event() const override { return next_; }
  void on_time(base::Instant now) override;
  bool finished() const override { return left_ == 0 && refused_; }
  std::string describe() const override;
  void stop(base::Instant now);
  bool corrupted() const { return corrupted_; }
  std::uint32_t received() const { return received_; }

 private:
  std::uint32_t open(std::uint16_t port);
  void send(std::uint32_t socket, std::uint16_t port, std::uint32_t length);
  void receive();

  StackHost& host_;
  StackHost& peer_;
  base::Random random_;
  std::uint32_t left_;
  std::uint32_t socket_;
  std::uint32_t lonely_;  ///< connected to a port without a socket
  std::uint32_t received_ = 0;
  bool refused_ = false;
  bool corrupted_ = false;
  base::Instant next_{};
};

}  // namespace ringway::scenario
