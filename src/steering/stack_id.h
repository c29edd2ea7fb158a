#pragma once

#include <compare>
#include <cstdint>

namespace ringway::steering {

/// Names one stack of a network; a number is used again only with another generation. Generation 0
/// names none.
struct StackId {
  std::uint16_t index = 0;
  std::uint16_t generation = 0;

  constexpr bool valid() const { return generation != 0; }
  constexpr auto operator<=>(const StackId&) const = default;
  /// One word for tables and messages; 0 is "none".
  constexpr std::uint32_t raw() const {
    return static_cast<std::uint32_t>(generation) << 16 | index;
  }
  static constexpr StackId from_raw(std::uint32_t raw) {
    return {static_cast<std::uint16_t>(raw & 0xffff), static_cast<std::uint16_t>(raw >> 16)};
  }
};

/// A host's number within its network. 0 is the shared localhost.
using HostIndex = std::uint16_t;
inline constexpr HostIndex kLocalhost = 0;
inline constexpr HostIndex kNoHost = 0xffff;

/// Protocols that have ports in the table.
enum class Protocol : std::uint8_t { kTcp = 0, kUdp = 1 };
inline constexpr std::uint32_t kProtocols = 2;

}  // namespace ringway::steering
