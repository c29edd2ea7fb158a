#include "wire/tcp.h"

#include <algorithm>

namespace ringway::wire {
namespace {

// RFC 9293, 3.2; RFC 7323; RFC 2018.
enum OptionKind : std::uint8_t {
  kEnd = 0,
  kNop = 1,
  kMss = 2,
  kWindowScale = 3,
  kSackPermitted = 4,
  kSack = 5,
  kTimestamps = 8,
};

constexpr std::uint8_t kMaxWindowScale = 14;

void parse_sack(std::span<const std::byte> body, TcpOptions& options) {
  if (body.size() % 8 != 0) return;
  const std::size_t count = std::min(body.size() / 8, TcpOptions::kMaxSackBlocks);
  for (std::size_t i = 0; i < count; ++i) {
    options.sack[i] = {{base::load_be32(&body[i * 8])}, {base::load_be32(&body[i * 8 + 4])}};
  }
  options.sack_count = static_cast<std::uint8_t>(count);
}

void parse_option(std::uint8_t kind, std::span<const std::byte> body, TcpOptions& options) {
  if (kind == kMss && body.size() == 2) {
    options.has_mss = true;
    options.mss = base::load_be16(body.data());
  } else if (kind == kWindowScale && body.size() == 1) {
    options.has_window_scale = true;
    options.window_scale = std::min(base::load_u8(body.data()), kMaxWindowScale);
  } else if (kind == kSackPermitted && body.empty()) {
    options.sack_permitted = true;
  } else if (kind == kTimestamps && body.size() == 8) {
    options.has_timestamps = true;
    options.timestamp_value = base::load_be32(body.data());
    options.timestamp_echo = base::load_be32(&body[4]);
  } else if (kind == kSack) {
    parse_sack(body, options);
  }
}

std::byte* put4(std::byte* out, std::uint32_t word) {
  base::store_be32(out, word);
  return out + 4;
}

}  // namespace

std::optional<TcpOptions> TcpOptions::parse(std::span<const std::byte> bytes) {
  TcpOptions options;
  while (!bytes.empty()) {
    const std::uint8_t kind = base::load_u8(bytes.data());
    if (kind == kEnd) break;
    if (kind == kNop) {
      bytes = bytes.subspan(1);
      continue;
    }
    if (bytes.size() < 2) return std::nullopt;
    const std::size_t length = base::load_u8(&bytes[1]);
    if (length < 2 || length > bytes.size()) return std::nullopt;
    parse_option(kind, bytes.subspan(2, length - 2), options);
    bytes = bytes.subspan(length);
  }
  return options;
}

void TcpOptions::emit_all(std::byte* out) const {
  if (has_mss) out = put4(out, 0x02040000U | mss);
  if (has_timestamps) {
    // SACK-permitted takes the place of the two NOPs.
    out = put4(out, sack_permitted ? 0x0402080aU : kTimestampsWord);
    out = put4(out, timestamp_value);
    out = put4(out, timestamp_echo);
  } else if (sack_permitted) {
    out = put4(out, 0x01010402U);
  }
  if (has_window_scale) out = put4(out, 0x01030300U | window_scale);
  if (sack_count == 0) return;
  out = put4(out, 0x01010500U | (2U + 8U * sack_count));
  for (std::size_t i = 0; i < sack_count; ++i) {
    out = put4(out, sack[i].left.value);
    out = put4(out, sack[i].right.value);
  }
}

}  // namespace ringway::wire
