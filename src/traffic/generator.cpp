#include "traffic/generator.h"

#include <algorithm>

namespace ringway::traffic {

Generator::~Generator() {
  for (std::uint32_t i = 0; i < pending_; ++i) pool_.free(batch_[i].slot);
}

/// One reading of the time for a whole burst: the frames leave together.
void Generator::make(base::Instant now) {
  while (pending_ < options_.burst && (options_.count == 0 || made_ < options_.count) &&
         pacer_.due(now)) {
    const std::uint32_t slot = pool_.allocate();
    if (slot == mem::FramePool::kNone) return;
    mem::FrameDesc& desc = batch_[pending_];
    desc = {};
    desc.slot = slot;
    desc.offset = static_cast<std::uint16_t>(mem::coloured_headroom(slot));
    desc.length = maker_.length_of(made_);
    maker_.write(made_, {options_.stream, made_, now.ns},
                 {pool_.data(slot) + desc.offset, desc.length});
    pacer_.spend(desc.length);
    ++pending_;
    ++made_;
  }
}

std::size_t Generator::turn(base::Instant now) {
  port_.advance(now);
  port_.reclaim();
  make(now);
  if (pending_ == 0) return 0;
  const std::size_t taken = port_.tx_burst({batch_.data(), pending_});
  if (taken < pending_) ++full_;
  for (std::size_t i = 0; i < taken; ++i) bytes_ += batch_[i].length;
  std::copy(batch_.begin() + static_cast<std::ptrdiff_t>(taken), batch_.begin() + pending_,
            batch_.begin());
  pending_ -= static_cast<std::uint32_t>(taken);
  frames_ += taken;
  return taken;
}

}  // namespace ringway::traffic
