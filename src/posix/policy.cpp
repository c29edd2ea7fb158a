#include "posix/policy.h"

#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace ringway::posix {

base::Result<Policy::Item> Policy::parse_item(std::string_view text) {
  const auto wrong = [&] {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "policy item '" + std::string(text) +
                          "': expected tcp, udp, :PORT, tcp:PORT, udp:PORT or ADDR/LEN");
  };
  Item item;
  std::string_view rest = text;
  if (rest.starts_with("tcp")) item.type = SOCK_STREAM;
  if (rest.starts_with("udp")) item.type = SOCK_DGRAM;
  if (item.type != 0) rest.remove_prefix(3);
  if (rest.empty() && item.type != 0) return item;
  if (rest.starts_with(':') && rest.find(':', 1) == std::string_view::npos) {
    rest.remove_prefix(1);
    const char* end = rest.data() + rest.size();
    const auto [stop, error] = std::from_chars(rest.data(), end, item.port);
    if (error != std::errc{} || stop != end || item.port == 0) return wrong();
    return item;
  }
  if (item.type != 0) return wrong();
  auto prefix = base::parse_prefix(rest);
  if (!prefix) return wrong();
  item.has_prefix = true;
  item.prefix = *prefix;
  return item;
}

base::Result<std::vector<Policy::Item>> Policy::parse_list(std::string_view text) {
  std::vector<Item> items;
  while (true) {
    const std::size_t begin = text.find_first_not_of(", \t");
    if (begin == std::string_view::npos) return items;
    text.remove_prefix(begin);
    const std::size_t end = std::min(text.find_first_of(", \t"), text.size());
    auto item = parse_item(text.substr(0, end));
    if (!item) return tl::unexpected(item.error());
    items.push_back(*item);
    text.remove_prefix(end);
  }
}

base::Result<Policy> Policy::parse(std::string_view only, std::string_view except) {
  auto first = parse_list(only);
  if (!first) return tl::unexpected(first.error());
  auto second = parse_list(except);
  if (!second) return tl::unexpected(second.error());
  Policy policy;
  policy.only_ = std::move(*first);
  policy.except_ = std::move(*second);
  return policy;
}

bool Policy::takes(int type, const base::Endpoint& endpoint) const {
  const auto matches = [&](const Item& item, bool unknown_port) {
    if (item.type != 0 && item.type != type) return false;
    if (item.port != 0 && item.port != endpoint.port && !(unknown_port && endpoint.port == 0)) {
      return false;
    }
    if (!item.has_prefix || item.prefix.contains(endpoint.address)) return true;
    return unknown_port && endpoint.address.is_any();
  };
  const auto allowed = [&](const Item& item) { return matches(item, true); };
  const auto refused = [&](const Item& item) { return matches(item, false); };
  if (!only_.empty() && std::none_of(only_.begin(), only_.end(), allowed)) return false;
  return std::none_of(except_.begin(), except_.end(), refused);
}

bool Policy::may_take(int type) const {
  const auto touches = [&](const Item& item) { return item.type == 0 || item.type == type; };
  const auto whole = [&](const Item& item) {
    return touches(item) && item.port == 0 && !item.has_prefix;
  };
  if (!only_.empty() && std::none_of(only_.begin(), only_.end(), touches)) return false;
  return std::none_of(except_.begin(), except_.end(), whole);
}

}  // namespace ringway::posix
