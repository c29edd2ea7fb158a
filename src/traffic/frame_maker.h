#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/result.h"
#include "traffic/pattern.h"
#include "traffic/stamp.h"
#include "wire/checksum.h"

namespace ringway::traffic {

/// What the frames of a generator look like.
struct FramePattern {
  Sizes sizes{};
  AddressRange src{base::IpAddress::v4(198, 18, 0, 1), 1};  // RFC 2544, C.2.2: for benchmarks
  AddressRange dst{base::IpAddress::v4(198, 19, 0, 1), 1};
  PortRange src_port{1000, 1};
  PortRange dst_port{9, 1};
  base::MacAddress src_mac{{0x02, 0x52, 0x57, 0, 0, 0x11}};
  base::MacAddress dst_mac{{0x02, 0x52, 0x57, 0, 0, 0x12}};
  std::optional<std::uint16_t> vlan;
};

/// Writes UDP frames with right checksums. Flows take turns: every frame is the next combination of
/// ports and addresses, source ports first. The payload is a Stamp and zeros.
class FrameMaker {
 public:
  /// Errors: kInvalidArgument if both ends are not of one family, or the sizes are too small for
  /// the headers.
  static base::Result<FrameMaker> create(const FramePattern& pattern);

  /// Length of frame number `n`.
  std::uint16_t length_of(std::uint64_t n) const { return pattern_.sizes.of(n); }
  /// Writes frame number `n`, whose length is length_of(n).
  void write(std::uint64_t n, const Stamp& stamp, std::span<std::byte> frame) const;
  std::uint64_t flows() const { return flows_; }

 private:
  explicit FrameMaker(const FramePattern& pattern) : pattern_(pattern) {}
  /// Fills in headers_ for a flow and a length.
  void write_headers(std::uint64_t flow, std::uint16_t length, std::span<std::byte> headers,
                     wire::Checksum& sum) const;

  static constexpr std::size_t kMostHeaders = 14 + 4 + 40 + 8;

  FramePattern pattern_;
  std::uint64_t flows_ = 1;
  std::uint16_t header_bytes_ = 0;
  bool constant_ = false;  ///< one flow and one size: headers_ is what every frame begins with
  std::array<std::byte, kMostHeaders> headers_{};
  wire::Checksum sum_;  ///< of pseudo header and UDP header
};

}  // namespace ringway::traffic
