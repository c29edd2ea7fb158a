#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "base/address.h"
#include "steering/stack_id.h"

namespace ringway::gateway {

/// One flow as the tap's side sees it: `local` is a host of the network.
struct FlowKey {
  base::Endpoint local;
  base::Endpoint remote;
  steering::Protocol protocol = steering::Protocol::kTcp;

  bool operator==(const FlowKey&) const = default;
  std::uint32_t hash() const;
};

/// Which stack a flow has been given to. `generation` is that of the steering table when it was
/// last seen to hold the port.
struct Flow {
  FlowKey key;
  steering::StackId stack;
  std::uint32_t used;  ///< FlowTable's clock at the last packet; 0: free
  std::uint64_t generation;
};

/// Keeps every flow with the stack that it began with: several may share a port, and a listener may
/// be gone while its connections live. A flow that has been forgotten is looked up again, so a
/// bounded table is enough. Plain data; all zero is empty.
class FlowTable {
 public:
  static constexpr std::uint32_t kSets = 4096;
  static constexpr std::uint32_t kWays = 8;

  /// The flow, now the latest of its set; nullptr if it is not known.
  Flow* find(const FlowKey& key);
  /// Enters a flow that find() did not know, in place of the set's oldest.
  Flow& insert(const FlowKey& key, steering::StackId stack, std::uint64_t generation);

 private:
  std::array<Flow, kWays>& set_of(const FlowKey& key) { return sets_[key.hash() % kSets]; }

  std::uint32_t clock_;
  std::array<std::array<Flow, kWays>, kSets> sets_;
};
static_assert(std::is_trivially_copyable_v<FlowTable> && std::is_standard_layout_v<FlowTable>);

}  // namespace ringway::gateway
