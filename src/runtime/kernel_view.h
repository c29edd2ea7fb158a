#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace ringway::runtime {

/// One thing that the kernel knows about a device, or no longer.
struct KernelFact {
  enum class Kind : std::uint8_t { kAddress, kRoute, kNeighbour, kLink };
  Kind kind{};
  bool gone = false;
  bool up = false;            ///< of a link
  std::uint16_t mtu = 0;      ///< of a link
  std::uint32_t metric = 0;   ///< of a route
  base::Prefix prefix;        ///< address with its subnet, destination, neighbour
  base::IpAddress gateway{};  ///< of a route; any: none
  base::MacAddress mac;       ///< of a neighbour
};

/// Addresses, routes (of the main table) and neighbours of one interface, by rtnetlink. Needs no
/// right. Reading is non-blocking, the first time apart.
class KernelView {
 public:
  /// What there is now goes to `facts`.
  static base::Result<KernelView> open(std::uint32_t interface, std::vector<KernelFact>& facts);

  int fd() const { return socket_.get(); }
  base::UniqueFd& socket() { return socket_; }
  /// What has changed since. After a change that was missed, everything once more.
  void read(std::vector<KernelFact>& facts);
  /// The interface by which the kernel would send to `remote`, and from which address. Nothing: no
  /// route.
  struct Way {
    std::uint32_t interface = 0;
    base::IpAddress source{};
  };
  static std::optional<Way> way_to(const base::IpAddress& remote);

 private:
  base::Result<void> dump(std::vector<KernelFact>& facts);

  base::UniqueFd socket_;
  std::uint32_t interface_ = 0;
};

}  // namespace ringway::runtime
