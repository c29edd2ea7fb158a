#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace ringway::posix {

/// Which traffic Ringway takes: RINGWAY_ONLY and RINGWAY_EXCEPT (docs/options.md). Each is a list,
/// separated by commas or blanks, of "tcp", "udp", ":PORT", "tcp:PORT", "udp:PORT" and "ADDR/LEN".
/// Without a list, all. `except` is stronger than `only`. Immutable once made; any thread.
class Policy {
 public:
  /// kInvalidArgument, naming the item that is not understood.
  static base::Result<Policy> parse(std::string_view only, std::string_view except);

  /// For bind(): the local side. Port 0 is "any", which no item with a port rules out.
  /// For connect() and sendto(): the remote side.
  bool takes(int type, const base::Endpoint& endpoint) const;
  /// False if no endpoint at all could be taken for this type: the socket is the kernel's at once.
  bool may_take(int type) const;

 private:
  struct Item {
    int type = 0;            ///< SOCK_STREAM, SOCK_DGRAM; 0: both
    std::uint16_t port = 0;  ///< 0: any
    bool has_prefix = false;
    base::Prefix prefix;
  };
  static base::Result<Item> parse_item(std::string_view text);
  static base::Result<std::vector<Item>> parse_list(std::string_view text);

  std::vector<Item> only_;
  std::vector<Item> except_;
};

}  // namespace ringway::posix
