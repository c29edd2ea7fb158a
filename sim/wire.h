#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "port/faults.h"
#include "port/port.h"

namespace ringway::sim {

/// One end of a wire: a port whose frames arrive at the other end as its FaultModel decides. Frames
/// are copied on the way, so either end has pools of its own.
class WirePort final : public port::Port {
 public:
  WirePort(std::string name, const port::Caps& caps, const port::FaultOptions& faults,
           mem::FramePool* tx_pool, mem::FramePool* rx_pool)
      : name_(std::move(name)), caps_(caps), faults_(faults), pool_(tx_pool), rx_pool_(rx_pool) {}

  static void join(WirePort& a, WirePort& b) {
    a.peer_ = &b;
    b.peer_ = &a;
  }
  /// As a ring of `frames` slots: tx_burst refuses more while they are full. 0: no limit.
  void limit(std::size_t frames) { limit_ = frames; }

  std::string_view name() const override { return name_; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc> out) override;
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override;
  base::Result<int> arm() override {
    return base::fail(base::ErrorCode::kUnavailable, "virtual time wakes nobody");
  }
  void advance(base::Instant now) override { now_ = now; }
  base::Instant next_deadline() const override {
    return arriving_.empty() ? base::Instant::never() : arriving_.top().at;
  }
  /// Frames on their way to this end.
  std::size_t arriving() const { return arriving_.size(); }
  const port::FaultModel& faults() const { return faults_; }
  /// While set, nothing that is sent arrives: a cut wire.
  void cut(bool on) { cut_ = on; }

 private:
  struct Flight {
    base::Instant at;
    std::uint64_t order;
    mem::FrameDesc desc;
    std::vector<std::byte> bytes;
    bool operator<(const Flight& o) const {
      return at != o.at ? at > o.at : order > o.order;  // the earliest on top
    }
  };
  void launch(const mem::FrameDesc& desc);

  std::string name_;
  port::Caps caps_;
  port::FaultModel faults_;
  mem::FramePool* pool_;
  mem::FramePool* rx_pool_;
  WirePort* peer_ = nullptr;
  std::size_t limit_ = 0;
  bool cut_ = false;
  base::Instant now_;
  std::uint64_t launched_ = 0;
  std::priority_queue<Flight> arriving_;
};

}  // namespace ringway::sim
