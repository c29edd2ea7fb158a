#include "mem/capture.h"

#include <algorithm>
#include <cstring>

namespace ringway::mem {
namespace {

constexpr std::uint64_t round_up(std::uint64_t bytes) { return (bytes + 7) & ~std::uint64_t{7}; }

}  // namespace

/// Says first what is going to be overwritten, as a sequence lock does.
std::byte* CaptureTap::claim(std::uint64_t bytes) {
  const std::uint64_t from = ring_->written.load(std::memory_order_relaxed);
  ring_->reserved.store(from + bytes, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  return &ring_->bytes[from % CaptureRing::kBytes];
}

void CaptureTap::record(std::span<const std::byte> frame, const FrameDesc& desc, CaptureWay way,
                        std::uint16_t port) {
  const std::uint32_t snap = control_->snap_bytes.load(std::memory_order_relaxed);
  const auto length = static_cast<std::uint32_t>(frame.size());
  const std::uint32_t kept = std::min({snap, length, std::uint32_t{UINT16_MAX}});
  CaptureRecord record{};
  record.size = static_cast<std::uint32_t>(round_up(sizeof record + kept));
  const std::uint64_t at = ring_->written.load(std::memory_order_relaxed);
  const std::uint64_t left = CaptureRing::kBytes - at % CaptureRing::kBytes;
  if (left < record.size) {
    // A number always fits: all records are multiples of 8.
    std::byte* filler = claim(left);
    const std::uint64_t mark = CaptureRecord::kFiller;
    std::memcpy(filler, &mark, sizeof mark);
    ring_->written.store(at + left, std::memory_order_release);
  }
  record.number = ring_->number.load(std::memory_order_relaxed);
  ring_->number.store(record.number + 1, std::memory_order_relaxed);
  record.time_ns = now_.ns;
  record.kept = kept;
  record.length = length;
  record.port = port;
  record.gso_size = desc.gso_size;
  record.flags = desc.flags;
  record.l4_offset = desc.l4_offset;
  record.way = way;
  std::byte* out = claim(record.size);
  std::memcpy(out, &record, sizeof record);
  std::memcpy(out + sizeof record, frame.data(), kept);
  ring_->written.store(ring_->written.load(std::memory_order_relaxed) + record.size,
                       std::memory_order_release);
}

bool CaptureReader::next(CaptureRecord& record, std::span<std::byte> into) {
  for (;;) {
    const Step done = step(record, into);
    if (done != Step::kSkipped) return done == Step::kFrame;
  }
}

/// What is read may be anything: it is checked against the ring's bounds before it is believed, and
/// believed only if the writer was still further than a lap away afterwards.
CaptureReader::Step CaptureReader::step(CaptureRecord& record, std::span<std::byte> into) {
  const std::uint64_t written = ring_.written.load(std::memory_order_acquire);
  if (at_ == written) return Step::kNothing;
  const auto restart = [&] {
    at_ = ring_.written.load(std::memory_order_acquire);
    return Step::kSkipped;
  };
  if (written - at_ > CaptureRing::kBytes) return restart();
  const std::uint64_t place = at_ % CaptureRing::kBytes;
  const std::uint64_t left = CaptureRing::kBytes - place;
  const auto still_there = [&] {
    std::atomic_thread_fence(std::memory_order_acquire);
    return ring_.reserved.load(std::memory_order_relaxed) - at_ <= CaptureRing::kBytes;
  };
  std::uint64_t mark = 0;
  std::memcpy(&mark, &ring_.bytes[place], sizeof mark);
  if (mark == CaptureRecord::kFiller || left < sizeof record) {
    if (!still_there()) return restart();
    at_ += left;
    return Step::kSkipped;
  }
  std::memcpy(&record, &ring_.bytes[place], sizeof record);
  const bool sound = record.size >= sizeof record && record.size <= left && record.size % 8 == 0 &&
                     record.kept <= record.size - sizeof record;
  if (!sound) return restart();
  record.kept = static_cast<std::uint32_t>(std::min<std::size_t>(record.kept, into.size()));
  std::memcpy(into.data(), &ring_.bytes[place + sizeof record], record.kept);
  if (!still_there()) return restart();
  if (record.number > expected_) lost_ += record.number - expected_;
  expected_ = record.number + 1;
  at_ += record.size;
  return Step::kFrame;
}

}  // namespace ringway::mem
