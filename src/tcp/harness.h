#pragma once

// For tests only: one Tcp with a peer that is written out segment by segment, in the notation of
// packetdrill:
//
//   "S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS 0 7,wscale 4>"
//
// Sequence numbers count from each side's initial one. Payload bytes follow from their sequence
// numbers, so they need not be written. Timestamps count from ours' start, the peer's from 0.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "port/port.h"
#include "port/tx_batch.h"
#include "tcp/tcp.h"
#include "tcp/zeroed.h"
#include "wire/tcp.h"

namespace ringway::tcp {

/// Keeps what is sent.
class CapturePort final : public port::Port {
 public:
  CapturePort(mem::FramePool* pool, const port::Caps& caps) : pool_(pool), caps_(caps) {}
  std::string_view name() const override { return "capture"; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc>) override { return 0; }
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override;
  base::Result<int> arm() override {
    return base::fail(base::ErrorCode::kUnavailable, "a capture port wakes nobody");
  }

  struct Frame {
    mem::FrameDesc desc;
    std::vector<std::byte> bytes;
  };
  std::vector<Frame> frames;
  std::size_t room = SIZE_MAX;  ///< how many more it takes

 private:
  mem::FramePool* pool_;
  port::Caps caps_;
};

struct HarnessOptions {
  std::uint8_t path_flags = 0;
  std::uint16_t mtu = 1500;
  std::uint32_t max_frame = 1514;
  bool v6 = false;
  Options tcp;
};

class Harness {
 public:
  using Options = tcp::Options;
  explicit Harness(const HarnessOptions& options = {});
  ~Harness();

  static constexpr std::uint32_t kFrames = 2048;
  static constexpr std::uint32_t kSlotBytes = 36864;
  static constexpr std::uint32_t kPath = 1;
  static constexpr std::uint32_t kSocket = 77;
  static constexpr std::uint32_t kPeerIss = 0x7ffff000;
  static constexpr std::uint16_t kLocalPort = 80;
  static constexpr std::uint16_t kRemotePort = 4000;

  /// A segment of the peer, to the connection, the listener or nobody.
  void in(std::string_view text);
  /// What was sent since the last call, one line each, after a turn of output.
  std::string out();
  void advance(base::Duration d);
  void advance_ms(std::int64_t ms) { advance(base::Duration::milliseconds(ms)); }

  void connect();  ///< and forgets the SYN
  void listen(std::uint32_t backlog = 16);
  void accept();
  /// A connection in ESTABLISHED, passive, with the options of `syn`, after its ACK.
  void establish(std::string_view syn_options = "mss 1460");
  Io write(std::size_t bytes, bool more = false);
  /// Reads up to `bytes`, checks that they are the right ones; returns how many.
  std::size_t read(std::size_t bytes);
  std::uint32_t events();  ///< of the connection since the last call
  State state() const { return tcp.state(c); }
  Connection& conn() { return tcp.conn(c); }

  static std::byte pattern(std::uint32_t offset) {
    return static_cast<std::byte>(offset * 31 + (offset >> 8));
  }

  Zeroed<TcpState> state_block;
  std::vector<port::Path> paths;
  Tcp tcp;
  base::Instant now{base::Duration::seconds(10).ns};
  base::Instant start = now;
  std::uint32_t c = 0;
  std::uint32_t listener = 0;
  std::unique_ptr<CapturePort> port;
  std::unique_ptr<port::TxBatch> batch;
  Options options;
  base::Endpoint local, remote;
  bool check_leaks = true;
  Zeroed<mem::CellSlab> cells;
  mem::FramePool pool;

 private:
  std::string describe(const CapturePort::Frame& frame);
  std::vector<std::byte> build(std::string_view text);
  std::uint32_t our_iss() const;

  Zeroed<std::byte> memory_;
  mem::FramePoolState pool_state_{};
  std::unique_ptr<mem::RegionTable> regions_;
  std::vector<port::TxBatch*> batches_;
  std::uint32_t iss_ = 0;
  std::uint32_t ts_offset_ = 0;
  std::uint32_t written_ = 0;
  std::uint32_t read_ = 0;
};

}  // namespace ringway::tcp
