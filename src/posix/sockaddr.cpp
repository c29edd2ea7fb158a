#include "posix/sockaddr.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace ringway::posix {

int read_address(int domain, const sockaddr* address, socklen_t length, base::Endpoint* out) {
  if (address == nullptr) return -EFAULT;
  if (length < sizeof(sa_family_t)) return -EINVAL;
  sa_family_t family = 0;
  std::memcpy(&family, address, sizeof family);
  if (domain == AF_INET) {
    if (length < sizeof(sockaddr_in)) return -EINVAL;
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    // Linux takes AF_UNSPEC with the wildcard address for AF_INET (inet_bind).
    if (family != AF_INET && !(family == AF_UNSPEC && in.sin_addr.s_addr == 0)) {
      return -EAFNOSUPPORT;
    }
    out->address = base::IpAddress::v4(ntohl(in.sin_addr.s_addr));
    out->port = ntohs(in.sin_port);
    return 0;
  }
  // RFC 2133 had no scope id: 24 bytes are an address as well.
  constexpr socklen_t kWithoutScope = sizeof(sockaddr_in6) - sizeof(std::uint32_t);
  if (family != AF_INET6) return -EAFNOSUPPORT;
  if (length < kWithoutScope) return -EINVAL;
  sockaddr_in6 in6{};
  std::memcpy(&in6, address, std::min<std::size_t>(length, sizeof in6));
  std::memcpy(out->address.bytes.data(), &in6.sin6_addr, 16);
  out->port = ntohs(in6.sin6_port);
  return 0;
}

void write_address(int domain, const base::Endpoint& endpoint, sockaddr* address,
                   socklen_t* length) {
  if (address == nullptr || length == nullptr) return;
  if (domain == AF_INET) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(endpoint.port);
    in.sin_addr.s_addr = endpoint.address.is_v4() ? htonl(endpoint.address.to_v4()) : 0;
    std::memcpy(address, &in, std::min<std::size_t>(*length, sizeof in));
    *length = sizeof in;
    return;
  }
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(endpoint.port);
  // The wildcard of a dual-stack socket is ::, never ::ffff:0.0.0.0.
  if (!endpoint.address.is_any()) std::memcpy(&in6.sin6_addr, endpoint.address.bytes.data(), 16);
  std::memcpy(address, &in6, std::min<std::size_t>(*length, sizeof in6));
  *length = sizeof in6;
}

}  // namespace ringway::posix
