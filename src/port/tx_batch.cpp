#include "port/tx_batch.h"

#include <algorithm>

namespace ringway::port {

TxBatch::Packet TxBatch::reserve_pool(std::uint32_t length) {
  if (pending_count_ == kPending) flush();
  starved_ = true;  // until the frame is there
  if (pending_count_ == kPending || port_ == nullptr) return {};
  std::uint32_t slot = pool_->allocate();
  if (slot == mem::FramePool::kNone && port_->reclaim() != 0) slot = pool_->allocate();
  if (slot == mem::FramePool::kNone) return {};
  const std::uint32_t headroom = mem::coloured_headroom(slot);
  if (headroom + length > pool_->slot_size()) {
    pool_->free(slot);
    return {};
  }
  starved_ = false;
  return {pool_->data(slot) + headroom, slot, static_cast<std::uint16_t>(headroom)};
}

void TxBatch::commit_pool(const Packet& packet, std::uint32_t length, mem::FrameDesc desc) {
  desc.slot = packet.frame;
  desc.offset = packet.offset;
  desc.length = static_cast<std::uint16_t>(length);
  pending_[pending_count_++] = desc;
  touch();
}

void TxBatch::cancel(const Packet& packet) {
  if (sender_.valid()) {
    sender_.cancel({packet.data, packet.frame});
  } else if (packet.data != nullptr) {
    pool_->free(packet.frame);
  }
}

bool TxBatch::flush() {
  const bool published = pending_flush_;
  pending_flush_ = false;
  if (sender_.valid()) return published;
  if (pending_count_ == 0 || port_ == nullptr) return false;
  const std::size_t sent = port_->tx_burst({pending_.data(), pending_count_});
  std::copy(pending_.begin() + static_cast<std::ptrdiff_t>(sent), pending_.begin() + pending_count_,
            pending_.begin());
  pending_count_ -= static_cast<std::uint32_t>(sent);
  return sent != 0;
}

}  // namespace ringway::port
