#include "netd/daemon/veth.h"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "base/netlink.h"
#include "base/sys.h"
#include "base/unique_fd.h"

namespace ringway::netd {

namespace sys = base::sys;
using base::Result;

namespace {

/// One request about an interface (rtnetlink(7)).
class LinkRequest {
 public:
  LinkRequest(std::uint16_t type, std::uint16_t flags, const ifinfomsg& about) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    append(&header, sizeof header);
    append(&about, sizeof about);
  }
  void text(std::uint16_t type, std::string_view value) {
    const std::size_t at = begin(type);
    append(value.data(), value.size());
    end(at);
  }
  void number(std::uint16_t type, std::uint32_t value) {
    const std::size_t at = begin(type);
    append(&value, sizeof value);
    end(at);
  }
  void byte(std::uint16_t type, std::uint8_t value) {
    const std::size_t at = begin(type);
    append(&value, sizeof value);
    end(at);
  }
  void append(const void* bytes, std::size_t n) {
    if (n > bytes_.size() - size_) return;  // every request here is far smaller
    std::memcpy(bytes_.data() + size_, bytes, n);
    exact_ = size_ + n;
    size_ = (exact_ + 3U) & ~std::size_t{3};
  }
  /// An attribute whose value is what follows until end().
  std::size_t begin(std::uint16_t type) {
    const std::size_t at = size_;
    const rtattr attribute{0, type};
    append(&attribute, sizeof attribute);
    return at;
  }
  void end(std::size_t at) {
    const auto length = static_cast<std::uint16_t>(exact_ - at);
    std::memcpy(bytes_.data() + at, &length, sizeof length);
  }

  /// 0 or the errno that the kernel answers with.
  int ask() {
    const base::UniqueFd socket(sys::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    const auto length = static_cast<std::uint32_t>(size_);
    std::memcpy(bytes_.data(), &length, sizeof length);
    if (!socket || sys::write(socket.get(), bytes_.data(), size_) < 0) return errno;
    alignas(nlmsghdr) std::array<std::byte, 4096> answer;
    const ssize_t n = sys::read(socket.get(), answer.data(), answer.size());
    if (n < 0) return errno;
    int error = EPROTO;
    base::for_each_message(std::span(answer).first(static_cast<std::size_t>(n)),
                           [&](const nlmsghdr& header, std::span<const std::byte> body) {
                             if (header.nlmsg_type != NLMSG_ERROR) return;
                             error = -base::fixed_part<nlmsgerr>(body).error;
                           });
    return error;
  }

 private:
  alignas(nlmsghdr) std::array<std::byte, 512> bytes_{};
  std::size_t size_ = 0;
  std::size_t exact_ = 0;  ///< without the padding of what came last
};

tl::unexpected<base::Error> fail(int number, const std::string& what) {
  return tl::unexpected(base::Error{base::ErrorCode::kSystem, number,
                                    fmt::format("{}: {}", what, std::strerror(number))});
}

ifinfomsg about(std::uint32_t index) {
  ifinfomsg message{};
  message.ifi_family = AF_UNSPEC;
  message.ifi_index = static_cast<int>(index);
  return message;
}

/// What both ends have.
void describe(LinkRequest& request, const std::string& name, std::uint16_t mtu) {
  request.text(IFLA_IFNAME, name);
  request.number(IFLA_MTU, mtu);
  request.number(IFLA_NUM_TX_QUEUES, 1);
  request.number(IFLA_NUM_RX_QUEUES, 1);
}

int create(const std::string& host, const std::string& program, std::uint16_t mtu) {
  LinkRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, about(0));
  describe(request, host, mtu);
  const std::size_t info = request.begin(IFLA_LINKINFO);
  request.text(IFLA_INFO_KIND, "veth");
  const std::size_t data = request.begin(IFLA_INFO_DATA);
  const std::size_t peer = request.begin(VETH_INFO_PEER);
  const ifinfomsg message = about(0);
  request.append(&message, sizeof message);
  describe(request, program, mtu);
  request.end(peer);
  request.end(data);
  request.end(info);
  return request.ask();
}

/// Where the kernel has no IPv6 there is nothing to be silenced.
void silence(std::uint32_t index) {
  LinkRequest request(RTM_SETLINK, 0, about(index));
  const std::size_t families = request.begin(IFLA_AF_SPEC);
  const std::size_t v6 = request.begin(AF_INET6);
  request.byte(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  request.end(v6);
  request.end(families);
  request.ask();
}

int bring_up(std::uint32_t index) {
  ifinfomsg message = about(index);
  message.ifi_flags = message.ifi_change = IFF_UP;
  return LinkRequest(RTM_SETLINK, 0, message).ask();
}

}  // namespace

Result<VethPair> make_veth(const std::string& host, const std::string& program, std::uint16_t mtu) {
  int error = create(host, program, mtu);
  if (error == EEXIST) {
    delete_veth(::if_nametoindex(host.c_str()));
    error = create(host, program, mtu);
  }
  if (error != 0) return fail(error, "a veth pair for a guarded lease cannot be made");
  const VethPair pair{::if_nametoindex(host.c_str()), ::if_nametoindex(program.c_str())};
  for (const std::uint32_t index : {pair.host, pair.program}) {
    silence(index);
    error = bring_up(index);
    if (error == 0) continue;
    delete_veth(pair.host);
    return fail(error, "a veth pair for a guarded lease cannot be brought up");
  }
  return pair;
}

void delete_veth(std::uint32_t index) {
  if (index != 0) LinkRequest(RTM_DELLINK, 0, about(index)).ask();
}

Result<void> set_mtu(std::uint32_t index, std::uint16_t mtu) {
  LinkRequest request(RTM_SETLINK, 0, about(index));
  request.number(IFLA_MTU, mtu);
  const int error = request.ask();
  if (error != 0) return fail(error, "the MTU of a veth cannot be changed");
  return {};
}

}  // namespace ringway::netd
