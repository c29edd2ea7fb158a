#include "gateway/flow_table.h"

#include <algorithm>

#include "base/random.h"

namespace ringway::gateway {

std::uint32_t FlowKey::hash() const {
  const auto end = [](const base::Endpoint& e) {
    return base::Random::mix(e.address.low() ^ base::Random::mix(e.address.high() + e.port));
  };
  const std::uint64_t mixed = end(local) * 3 + end(remote) + static_cast<std::uint64_t>(protocol);
  return static_cast<std::uint32_t>(base::Random::mix(mixed) >> 32);
}

Flow* FlowTable::find(const FlowKey& key) {
  for (Flow& flow : set_of(key)) {
    if (flow.used == 0 || flow.key != key) continue;
    flow.used = ++clock_;
    return &flow;
  }
  return nullptr;
}

Flow& FlowTable::insert(const FlowKey& key, steering::StackId stack, std::uint64_t generation) {
  auto& set = set_of(key);
  // Ages are differences, so the clock may wrap; a free one is older than all.
  const auto age = [this](const Flow& f) { return f.used == 0 ? UINT32_MAX : clock_ - f.used; };
  Flow& oldest = *std::max_element(set.begin(), set.end(),
                                   [&](const Flow& a, const Flow& b) { return age(a) < age(b); });
  if (++clock_ == 0) ++clock_;
  oldest = {key, stack, clock_, generation};
  return oldest;
}

}  // namespace ringway::gateway
