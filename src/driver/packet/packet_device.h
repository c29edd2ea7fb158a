#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "port/spec.h"

namespace ringway::driver {

/// What a packet port can be told.
inline constexpr std::array kPacketOptions{
    port::SpecOption{"offload", port::OptionKind::kFlag, 1, 0, 1,
                     "leave checksums and segments to the other side"},
    port::SpecOption{"block", port::OptionKind::kDuration, 0, 0, 1'000'000'000,
                     "hand frames over in blocks, after this time at the latest (TPACKET_V3); 0: "
                     "each at once (V2)"},
    port::SpecOption{"frames", port::OptionKind::kCount, 1024, 16, 65536,
                     "frames of the receive ring, 16 to 64k"},
    port::SpecOption{"mac", port::OptionKind::kText, 0, 0, 0,
                     "Ethernet address of this end; default: the interface's"},
    port::SpecOption{"promisc", port::OptionKind::kFlag, 0, 0, 1,
                     "receive frames for other addresses too"},
    port::SpecOption{"bypass", port::OptionKind::kFlag, 1, 0, 1,
                     "send past the queueing discipline of the interface"},
    port::SpecOption{"fanout", port::OptionKind::kText, 0, 0, 0,
                     "how frames are spread over several queues: hash, cpu or lb"},
    port::SpecOption{"fd", port::OptionKind::kCount, 0, 0, INT32_MAX,
                     "an open packet socket that was passed to this process"},
};

/// A packet port as a person asks for it: "packet:eth0,offload=off".
struct PacketOptions {
  std::string name;  ///< of the interface
  bool offload = true;
  base::Duration block{};  ///< zero: TPACKET_V2
  std::uint32_t frames = 1024;
  std::optional<base::MacAddress> mac;
  bool promiscuous = false;
  bool bypass = true;
  std::uint16_t fanout = 0;  ///< PACKET_FANOUT_*
  int fd = -1;               ///< passed socket

  static base::Result<PacketOptions> parse(const port::Spec& spec);
};

/// An open packet socket: what a privileged process passes to one that is not.
struct PacketDevice {
  base::UniqueFd fd;
  std::string name;
  int index = 0;  ///< of the interface
};

/// Memory that the kernel shares with a packet socket: the receive ring, then the send ring.
struct PacketRings {
  std::byte* base = nullptr;
  std::size_t rx_bytes = 0;
  std::size_t tx_bytes = 0;
  std::uint32_t rx_piece = 0;  ///< bytes of a frame (V2) or of a block (V3)
  std::uint32_t rx_count = 0;  ///< of such
  std::uint32_t tx_piece = 0;
  std::uint32_t tx_count = 0;
};

/// How large the rings are to be.
struct PacketRingSizes {
  std::uint32_t longest_frame = 0;  ///< received or sent, in bytes
  std::uint32_t frames = 0;
  base::Duration block{};
};

/// Whether this process can make packet sockets; the error names the fix.
base::Result<void> probe_packet();
/// A socket bound to the interface, which receives nothing before listen_on(). Errors: kNotFound
/// without the interface, kPermission without CAP_NET_RAW.
base::Result<PacketDevice> open_packet(const std::string& name);
/// Checks that `fd` is a packet socket of raw frames that is bound to an interface. Takes `fd`
/// over, also on failure.
base::Result<PacketDevice> adopt_packet(base::UniqueFd fd);
/// Header, filters and rings of a socket that has none yet; the caller unmaps the rings.
base::Result<PacketRings> make_rings(const PacketDevice& device, const PacketOptions& options,
                                     const PacketRingSizes& sizes);
/// From here on, frames come in.
base::Result<void> listen_on(const PacketDevice& device);
/// Joins the group of sockets that share the interface's frames; `group` 0 makes a new one.
/// Returns the group.
base::Result<std::uint16_t> join_fanout(const PacketDevice& device, std::uint16_t group,
                                        std::uint16_t mode);

/// What the kernel says about the interface now.
struct PacketState {
  std::uint16_t mtu = 0;  ///< 0: the interface is gone
  bool up = false;
};
PacketState packet_state(const PacketDevice& device);
base::Result<base::MacAddress> packet_mac(const PacketDevice& device);
/// Frames that the kernel dropped because the ring was full, since the last call.
std::uint32_t packet_drops(const PacketDevice& device);
/// Forgets a pending error (the interface went down), which would keep poll() from sleeping.
void clear_error(const PacketDevice& device);

}  // namespace ringway::driver
