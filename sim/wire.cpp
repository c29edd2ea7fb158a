#include "sim/wire.h"

#include <cstring>

namespace ringway::sim {

std::size_t WirePort::rx_burst(std::span<mem::FrameDesc> out) {
  std::size_t n = 0;
  while (n < out.size() && !arriving_.empty() && arriving_.top().at <= now_) {
    const Flight& f = arriving_.top();
    const std::uint32_t slot = rx_pool_->allocate();
    if (slot == mem::FramePool::kNone) {
      ++counters_.rx_no_frame;
      if (caps_.reliable) break;  // a ring waits
      arriving_.pop();            // a device drops
      continue;
    }
    const std::uint32_t offset = mem::coloured_headroom(slot);
    std::memcpy(rx_pool_->data(slot) + offset, f.bytes.data(), f.bytes.size());
    out[n] = f.desc;
    out[n].slot = slot;
    out[n].offset = static_cast<std::uint16_t>(offset);
    ++n;
    ++counters_.rx_frames;
    arriving_.pop();
  }
  return n;
}

void WirePort::launch(const mem::FrameDesc& desc) {
  const port::Fate fate = faults_.decide(now_, desc.length);
  for (std::uint32_t i = 0; i < fate.copies && !cut_; ++i) {
    Flight f{fate.at[i], launched_++, desc, {}};
    const std::byte* p = pool_->data(desc.slot) + desc.offset;
    f.bytes.assign(p, p + desc.length);
    port::corrupt(f.bytes, fate);
    peer_->arriving_.push(std::move(f));
  }
}

std::size_t WirePort::tx_burst(std::span<const mem::FrameDesc> packets) {
  std::size_t n = 0;
  for (const mem::FrameDesc& desc : packets) {
    if (limit_ != 0 && peer_->arriving_.size() >= limit_) break;
    launch(desc);
    pool_->free(desc.slot);
    ++counters_.tx_frames;
    counters_.tx_bytes += desc.length;
    ++n;
  }
  return n;
}

}  // namespace ringway::sim
