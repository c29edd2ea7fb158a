#include "driver/pcap/capture_port.h"

#include <algorithm>

#include "port/packet.h"

namespace ringway::driver {
namespace {

using mem::FrameDesc;

class CapturePort final : public port::Port {
 public:
  CapturePort(std::unique_ptr<port::Port> inner, CaptureFile file, mem::FramePool& pool)
      : inner_(std::move(inner)), file_(std::move(file)), pool_(pool) {}

  std::string_view name() const override { return inner_->name(); }
  const port::Caps& caps() const override { return inner_->caps(); }
  std::size_t rx_burst(std::span<FrameDesc> out) override;
  std::size_t tx_burst(std::span<const FrameDesc> packets) override;
  std::size_t reclaim() override { return inner_->reclaim(); }
  base::Result<int> arm() override { return inner_->arm(); }
  void advance(base::Instant now) override;
  base::Instant next_deadline() const override { return inner_->next_deadline(); }

 private:
  void record(std::span<const FrameDesc> packet, CaptureWay way);
  void count();

  std::unique_ptr<port::Port> inner_;
  CaptureFile file_;
  mem::FramePool& pool_;
  base::Instant now_{};
};

void CapturePort::record(std::span<const FrameDesc> packet, CaptureWay way) {
  file_.begin(now_, port::length_of(packet), way);
  for (const FrameDesc& piece : packet) {
    file_.add({pool_.data(piece.slot) + piece.offset, piece.length});
  }
}

std::size_t CapturePort::rx_burst(std::span<FrameDesc> out) {
  const std::size_t n = inner_->rx_burst(out);
  std::span<const FrameDesc> left = out.first(n);
  while (!left.empty()) {
    const std::size_t pieces = port::pieces_of(left);
    if (pieces == 0) break;
    record(left.first(pieces), CaptureWay::kIn);
    left = left.subspan(pieces);
  }
  if (file_.filled()) file_.flush();
  count();
  return n;
}

/// The frames belong to the inner port once it has taken them: they are recorded before, a packet
/// at a time, and struck out again if it does not take them or cannot send them.
std::size_t CapturePort::tx_burst(std::span<const FrameDesc> packets) {
  std::size_t taken = 0;
  while (taken < packets.size()) {
    const std::size_t pieces = port::pieces_of(packets.subspan(taken));
    if (pieces == 0) break;
    const auto packet = packets.subspan(taken, pieces);
    const std::size_t mark = file_.mark();
    const std::uint64_t sent = inner_->counters().tx_frames;
    const bool recorded = port::lies_within(pool_, packet);
    if (recorded) record(packet, CaptureWay::kOut);
    const std::size_t n = inner_->tx_burst(packet);
    if (recorded && inner_->counters().tx_frames == sent) file_.drop(mark);
    taken += n;
    if (n == 0) break;
  }
  if (file_.filled()) file_.flush();
  count();
  return taken;
}

void CapturePort::advance(base::Instant now) {
  now_ = std::max(now_, now);
  inner_->advance(now);
  count();
  file_.flush();
}

void CapturePort::count() {
  counters_ = inner_->counters();
  file_.set_missed(counters_.rx_missed + counters_.rx_no_frame + counters_.rx_too_long +
                   counters_.rx_bad);
}

}  // namespace

std::unique_ptr<port::Port> capture(std::unique_ptr<port::Port> inner, CaptureFile file,
                                    mem::FramePool& pool) {
  return std::make_unique<CapturePort>(std::move(inner), std::move(file), pool);
}

}  // namespace ringway::driver
