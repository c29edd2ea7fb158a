#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace ringway::traffic {

/// How long frames are, Ethernet header included and FCS not: "64", "64-1514" (each length in
/// turn), "imix" (7 of 64, 4 of 590, 1 of 1514 bytes).
class Sizes {
 public:
  static constexpr std::uint16_t kLeast = 60;
  static constexpr std::uint16_t kMost = 65000;

  static base::Result<Sizes> parse(std::string_view text);
  /// Of the n-th frame.
  std::uint16_t of(std::uint64_t n) const {
    if (!list_.empty()) return list_[n % list_.size()];
    return static_cast<std::uint16_t>(least_ + n % (most_ - least_ + 1U));
  }
  std::uint16_t least() const { return least_; }
  std::uint16_t most() const { return most_; }

 private:
  std::uint16_t least_ = 64;
  std::uint16_t most_ = 64;
  std::vector<std::uint16_t> list_;
};

/// "10.0.0.1" or "10.0.0.1-10.0.0.20", either family.
struct AddressRange {
  base::IpAddress first;
  std::uint32_t count = 1;

  static base::Result<AddressRange> parse(std::string_view text);
  base::IpAddress of(std::uint32_t n) const;
};

/// "1000" or "1000-1999".
struct PortRange {
  std::uint16_t first = 0;
  std::uint32_t count = 1;

  static base::Result<PortRange> parse(std::string_view text);
  std::uint16_t of(std::uint32_t n) const { return static_cast<std::uint16_t>(first + n); }
};

/// "max", "250kpps" (packets), "1gbit" (bits of frames without FCS and preamble).
struct Rate {
  std::uint64_t per_second = 0;  ///< 0: as fast as the port takes frames
  bool bits = false;             ///< else packets

  static base::Result<Rate> parse(std::string_view text);
};

}  // namespace ringway::traffic
