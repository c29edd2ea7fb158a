#include "driver/packet/packet_device.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/sys.h"

namespace ringway::driver {
namespace {

namespace sys = base::sys;
using base::Error;
using base::ErrorCode;
using base::Result;

constexpr std::uint32_t kPage = 4096;
constexpr std::uint32_t kBlockBytes = 1 << 18;
constexpr std::uint32_t kTxFrames = 256;

constexpr std::uint32_t up_to(std::uint32_t value, std::uint32_t unit) {
  return (value + unit - 1) / unit * unit;
}

ifreq request_for(const std::string& name) {
  ifreq request{};
  std::copy_n(name.begin(), std::min(name.size(), sizeof request.ifr_name - 1), request.ifr_name);
  return request;
}

tl::unexpected<Error> fail_packet(const std::string& what) {
  const int saved = errno;
  Error error{ErrorCode::kSystem, saved, fmt::format("{}: {}", what, std::strerror(saved))};
  if (saved == EPERM || saved == EACCES) {
    error.code = ErrorCode::kPermission;
    error.what += "; run it as root, or once: sudo setcap cap_net_raw+ep PROGRAM";
  } else if (saved == EAFNOSUPPORT || saved == EPROTONOSUPPORT) {
    error.code = ErrorCode::kUnavailable;
    error.what += "; use a kernel with CONFIG_PACKET (modprobe af_packet)";
  } else if (saved == ENOMEM) {
    error.code = ErrorCode::kExhausted;
    error.what += "; ask for fewer frames (frames=256)";
  }
  return tl::unexpected(std::move(error));
}

template <typename T>
bool set(const PacketDevice& device, int option, const T& value) {
  return sys::setsockopt(device.fd.get(), SOL_PACKET, option, &value, sizeof value) == 0;
}

sockaddr_ll address_of(const PacketDevice& device, std::uint16_t protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = device.index;
  return address;
}

int bind_to(const PacketDevice& device, std::uint16_t protocol) {
  const sockaddr_ll address = address_of(device, protocol);
  return sys::bind(device.fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

Result<void> configure(const PacketDevice& device, const PacketOptions& options) {
  const int version = options.block.ns == 0 ? TPACKET_V2 : TPACKET_V3;
  if (!set(device, PACKET_VERSION, version)) return fail_packet("no TPACKET ring");
  if (options.offload && !set(device, PACKET_VNET_HDR, 1)) {
    return fail_packet("no offloads on a packet socket (offload=off does without)");
  }
  // A frame that the interface cannot send is dropped, and does not block those behind it.
  if (!set(device, PACKET_LOSS, 1)) return fail_packet("no send ring");
  // Linux 4.20; before that, what the kernel sends comes in too, and is left out by its type.
  static_cast<void>(set(device, PACKET_IGNORE_OUTGOING, 1));
  if (options.bypass) static_cast<void>(set(device, PACKET_QDISC_BYPASS, 1));
  if (options.promiscuous) {
    packet_mreq membership{};
    membership.mr_ifindex = device.index;
    membership.mr_type = PACKET_MR_PROMISC;
    if (!set(device, PACKET_ADD_MEMBERSHIP, membership)) {
      return fail_packet("cannot receive frames for other addresses on " + device.name);
    }
  }
  return {};
}

tpacket_req3 rx_request(const PacketRingSizes& sizes) {
  tpacket_req3 request{};
  const std::uint32_t frame = up_to(sizes.longest_frame + TPACKET3_HDRLEN + 64, 256);
  if (sizes.block.ns != 0) {
    request.tp_block_size = std::max(kBlockBytes, up_to(frame + 256, kPage));
    request.tp_frame_size = frame;
    request.tp_block_nr = std::max<std::uint32_t>(4, sizes.frames * 2048 / request.tp_block_size);
    request.tp_retire_blk_tov =
        static_cast<unsigned>(std::max<std::int64_t>(1, sizes.block.ns / 1'000'000));
  } else {
    // Slots follow each other without gaps: a block is one slot, or a whole number of them.
    request.tp_frame_size = request.tp_block_size = up_to(frame, kPage);
    if (frame <= kPage / 2) {
      request.tp_frame_size = kPage / 2;
      request.tp_block_size = kPage * 4;
    }
    const std::uint32_t each = request.tp_block_size / request.tp_frame_size;
    request.tp_block_nr = (sizes.frames + each - 1) / each;
  }
  request.tp_frame_nr = request.tp_block_nr * (request.tp_block_size / request.tp_frame_size);
  return request;
}

tpacket_req3 tx_request(const PacketRingSizes& sizes) {
  PacketRingSizes own = sizes;
  own.block = {};
  own.frames = kTxFrames;
  return rx_request(own);
}

}  // namespace

Result<void> probe_packet() {
  const base::UniqueFd socket(sys::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket) return fail_packet("no packet socket");
  return {};
}

Result<PacketDevice> open_packet(const std::string& name) {
  PacketDevice device{base::UniqueFd(sys::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)), name};
  if (!device.fd) return fail_packet("no packet socket");
  ifreq request = request_for(name);
  if (sys::ioctl(device.fd.get(), SIOCGIFINDEX, &request) < 0) {
    return base::fail(ErrorCode::kNotFound,
                      fmt::format("there is no interface {}: see `ip link`", name));
  }
  device.index = request.ifr_ifindex;
  if (sys::ioctl(device.fd.get(), SIOCGIFHWADDR, &request) < 0 ||
      (request.ifr_hwaddr.sa_family != ARPHRD_ETHER &&
       request.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK)) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("interface {} carries no Ethernet frames", name));
  }
  if (bind_to(device, 0) < 0) return fail_packet("cannot use interface " + name);
  return device;
}

Result<PacketDevice> adopt_packet(base::UniqueFd fd) {
  PacketDevice device{std::move(fd), ""};
  int type = 0;
  int domain = 0;
  socklen_t length = sizeof type;
  sockaddr_ll address{};
  socklen_t address_length = sizeof address;
  if (sys::getsockopt(device.fd.get(), SOL_SOCKET, SO_TYPE, &type, &length) < 0 ||
      sys::getsockopt(device.fd.get(), SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 ||
      type != SOCK_RAW || domain != AF_PACKET ||
      sys::getsockname(device.fd.get(), reinterpret_cast<sockaddr*>(&address), &address_length) <
          0 ||
      address.sll_ifindex == 0) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "the descriptor that was passed is no raw packet socket that is bound to an "
                      "interface");
  }
  device.index = address.sll_ifindex;
  ifreq request{};
  request.ifr_ifindex = device.index;
  if (sys::ioctl(device.fd.get(), SIOCGIFNAME, &request) == 0) device.name = request.ifr_name;
  return device;
}

Result<PacketRings> make_rings(const PacketDevice& device, const PacketOptions& options,
                               const PacketRingSizes& sizes) {
  if (auto done = configure(device, options); !done) return tl::unexpected(done.error());
  const tpacket_req3 rx = rx_request(sizes);
  const tpacket_req3 tx = tx_request(sizes);
  if (!set(device, PACKET_RX_RING, rx) || !set(device, PACKET_TX_RING, tx)) {
    return fail_packet("no rings for the packet socket of " + device.name);
  }
  PacketRings rings;
  rings.rx_bytes = std::size_t{rx.tp_block_size} * rx.tp_block_nr;
  rings.tx_bytes = std::size_t{tx.tp_block_size} * tx.tp_block_nr;
  const bool blocks = sizes.block.ns != 0;
  rings.rx_piece = blocks ? rx.tp_block_size : rx.tp_frame_size;
  rings.rx_count = blocks ? rx.tp_block_nr : rx.tp_frame_nr;
  rings.tx_piece = tx.tp_frame_size;
  rings.tx_count = tx.tp_frame_nr;
  void* at = ::mmap(nullptr, rings.rx_bytes + rings.tx_bytes, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_POPULATE, device.fd.get(), 0);
  if (at == MAP_FAILED) return fail_packet("cannot map the rings of " + device.name);
  rings.base = static_cast<std::byte*>(at);
  return rings;
}

Result<void> listen_on(const PacketDevice& device) {
  if (bind_to(device, ETH_P_ALL) < 0) return fail_packet("cannot receive from " + device.name);
  return {};
}

Result<std::uint16_t> join_fanout(const PacketDevice& device, std::uint16_t group,
                                  std::uint16_t mode) {
  const auto flags =
      static_cast<std::uint16_t>(mode | (group == 0 ? PACKET_FANOUT_FLAG_UNIQUEID : 0));
  const std::uint32_t wish = group | std::uint32_t{flags} << 16;
  std::uint32_t is = 0;
  socklen_t length = sizeof is;
  if (!set(device, PACKET_FANOUT, wish) ||
      sys::getsockopt(device.fd.get(), SOL_PACKET, PACKET_FANOUT, &is, &length) < 0) {
    return fail_packet("cannot share the frames of " + device.name + " between queues");
  }
  return static_cast<std::uint16_t>(is);
}

PacketState packet_state(const PacketDevice& device) {
  ifreq request = request_for(device.name);
  PacketState state;
  if (sys::ioctl(device.fd.get(), SIOCGIFINDEX, &request) < 0 ||
      request.ifr_ifindex != device.index ||
      sys::ioctl(device.fd.get(), SIOCGIFMTU, &request) < 0) {
    return state;
  }
  state.mtu = static_cast<std::uint16_t>(std::clamp(request.ifr_mtu, 68, UINT16_MAX));
  state.up =
      sys::ioctl(device.fd.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
  return state;
}

Result<base::MacAddress> packet_mac(const PacketDevice& device) {
  ifreq request = request_for(device.name);
  if (sys::ioctl(device.fd.get(), SIOCGIFHWADDR, &request) < 0) {
    return fail_packet("cannot read the address of " + device.name);
  }
  base::MacAddress mac;
  std::memcpy(mac.bytes.data(), request.ifr_hwaddr.sa_data, mac.bytes.size());
  return mac;
}

std::uint32_t packet_drops(const PacketDevice& device) {
  tpacket_stats_v3 stats{};
  socklen_t length = sizeof stats;
  if (sys::getsockopt(device.fd.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &length) < 0) {
    return 0;
  }
  return stats.tp_drops;
}

void clear_error(const PacketDevice& device) {
  int error = 0;
  socklen_t length = sizeof error;
  static_cast<void>(sys::getsockopt(device.fd.get(), SOL_SOCKET, SO_ERROR, &error, &length));
}

}  // namespace ringway::driver
