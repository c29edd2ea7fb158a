#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstddef>
#include <cstring>
#include <span>

namespace ringway::base {

/// Calls f(header, body) for each whole message of `bytes`, which begin at a word boundary; `body`
/// is what follows the header (netlink(7)).
template <typename F>
void for_each_message(std::span<const std::byte> bytes, F&& f) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    const auto& header = *reinterpret_cast<const nlmsghdr*>(bytes.data());
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > bytes.size()) return;
    f(header, bytes.first(header.nlmsg_len).subspan(sizeof header));
    const std::size_t step = (header.nlmsg_len + 3U) & ~std::size_t{3};
    bytes = bytes.subspan(step < bytes.size() ? step : bytes.size());
  }
}

/// Calls f(type, value) for each attribute behind the fixed part of a body (rtnetlink(3)).
template <typename F>
void for_each_attribute(std::span<const std::byte> bytes, F&& f) {
  while (bytes.size() >= sizeof(rtattr)) {
    const auto& attribute = *reinterpret_cast<const rtattr*>(bytes.data());
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > bytes.size()) return;
    f(attribute.rta_type, bytes.first(attribute.rta_len).subspan(sizeof attribute));
    const std::size_t step = (attribute.rta_len + 3U) & ~std::size_t{3};
    bytes = bytes.subspan(step < bytes.size() ? step : bytes.size());
  }
}

/// The fixed part of a body. All zero if the body is shorter.
template <typename T>
T fixed_part(std::span<const std::byte> body) {
  T part{};
  if (body.size() >= sizeof part) std::memcpy(&part, body.data(), sizeof part);
  return part;
}

}  // namespace ringway::base
