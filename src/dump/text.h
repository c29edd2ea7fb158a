#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "base/address.h"
#include "dump/frame.h"
#include "wire/packet_view.h"

namespace ringway::dump {

/// Frames as lines in tcpdump's words, numbers instead of names. Sequence numbers count from the
/// first one seen of each direction of a connection.
class TextPrinter {
 public:
  /// Without the line's end.
  std::string line(const Frame& frame);

 private:
  using Flow = std::tuple<base::IpAddress, std::uint16_t, base::IpAddress, std::uint16_t>;

  std::string packet(const Frame& frame, const wire::PacketView& view);
  std::string tcp(std::span<const std::byte> l4, const wire::PacketView& view);
  /// What a direction's numbers are counted from.
  std::uint32_t origin(const Flow& flow, std::uint32_t first);

  std::map<Flow, std::uint32_t> origins_;
};

/// "22:18:12.123456", local time.
std::string time_of_day(std::int64_t unix_ns);

}  // namespace ringway::dump
