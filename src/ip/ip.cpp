#include "ip/ip.h"

#include <algorithm>
#include <cstring>

#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace ringway::ip {
namespace {

constexpr std::uint8_t kDefaultHopLimit = 64;

base::Prefix subnet_of(const base::Prefix& p) {
  base::Prefix subnet = p;
  const unsigned bits = p.address.is_v4() ? p.length + 96U : p.length;
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned left = bits > i * 8 ? bits - i * 8 : 0;
    if (left >= 8) continue;
    subnet.address.bytes[i] &= static_cast<std::uint8_t>(0xff00U >> left);
  }
  return subnet;
}

// Writes the header template. What write_header() fills in later is left 0.
void write_template(const Interface& interface, const base::MacAddress& mac, port::Path& path) {
  const bool v4 = path.is_v6 == 0;
  const std::uint8_t hop_limit = interface.hop_limit != 0 ? interface.hop_limit : kDefaultHopLimit;
  const auto type = v4 ? wire::EtherType::kIpv4 : wire::EtherType::kIpv6;
  wire::EthernetHeader{mac, interface.mac, type}.emit(path.header.data());
  std::byte* l3 = path.header.data() + wire::EthernetHeader::kSize;
  if (v4) {
    wire::Ipv4Header h;
    h.src = path.local;
    h.dst = path.remote;
    h.ttl = hop_limit;
    h.dont_fragment = true;
    h.emit_without_checksum(l3);
    return;
  }
  wire::Ipv6Header h;
  h.src = path.local;
  h.dst = path.remote;
  h.hop_limit = hop_limit;
  h.emit(l3);
}

}  // namespace

void Ip::set_interface(std::uint8_t index, const port::Caps& caps) {
  Interface& i = state_.interfaces[index];
  i.up = true;
  i.neighbours_known = caps.neighbours_known;
  i.mac = caps.mac;
  i.mtu = caps.mtu;
  ++state_.generation;
}

void Ip::remove_interface(std::uint8_t index) {
  state_.routes.remove_interface(index);
  state_.interfaces[index] = Interface{};
  ++state_.generation;
}

bool Ip::add_address(std::uint8_t interface, const base::Prefix& address) {
  if (!state_.interfaces[interface].add_address(address)) return false;
  ++state_.generation;
  return state_.routes.add({subnet_of(address), {}, 0, interface});
}

bool Ip::remove_address(std::uint8_t interface, const base::IpAddress& address) {
  Interface& i = state_.interfaces[interface];
  for (std::uint32_t k = 0; k < i.address_count; ++k) {
    if (i.addresses[k].address != address) continue;
    const base::Prefix subnet = subnet_of(i.addresses[k]);
    i.remove_address(address);
    if (!i.on_link(subnet.address)) state_.routes.remove(subnet, interface);
    ++state_.generation;
    return true;
  }
  return false;
}

bool Ip::add_route(const Route& route) {
  ++state_.generation;
  return state_.routes.add(route);
}

bool Ip::remove_route(const base::Prefix& destination, std::uint8_t interface) {
  ++state_.generation;
  return state_.routes.remove(destination, interface);
}

std::optional<NextHop> Ip::next_hop(const base::IpAddress& remote) const {
  return state_.routes.lookup(remote);
}

void Ip::apply_caps(const port::Caps& caps, port::Path& path) {
  path.mtu = std::min(path.mtu, caps.mtu);
  path.max_frame = caps.max_frame;
  const auto keep = static_cast<std::uint8_t>(path.flags & port::kPathPending);
  path.flags = static_cast<std::uint8_t>(keep | (caps.reliable ? port::kPathReliable : 0) |
                                         (caps.tx_checksum ? port::kPathTxChecksum : 0) |
                                         (caps.tx_gso ? port::kPathGso : 0));
}

port::Path Ip::reply_path(std::uint8_t interface, const base::IpAddress& local,
                          const base::IpAddress& remote, const base::MacAddress& mac) const {
  const Interface& i = state_.interfaces[interface];
  port::Path path{};
  path.port = interface;
  path.mtu = i.mtu;
  path.max_frame = i.mtu + static_cast<std::uint32_t>(wire::EthernetHeader::kSize);
  path.local = local;
  path.remote = remote;
  path.is_v6 = remote.is_v4() ? 0 : 1;
  path.l3_offset = wire::EthernetHeader::kSize;
  path.header_length = static_cast<std::uint8_t>(
      wire::EthernetHeader::kSize +
      (remote.is_v4() ? wire::Ipv4Header::kSize : wire::Ipv6Header::kSize));
  path.generation = state_.generation;
  write_template(i, mac, path);
  return path;
}

PathOutcome Ip::make_path(const base::IpAddress& remote, const base::IpAddress& local,
                          base::Instant now, const Outputs& outputs, port::Path& path) {
  const auto hop = remote.is_multicast() && !local.is_any() ? std::nullopt : next_hop(remote);
  const std::uint8_t index = hop ? hop->interface : interface_of(local);
  if (index == kMaxInterfaces || !state_.interfaces[index].up) return PathOutcome::kNoRoute;
  const Interface& i = state_.interfaces[index];
  const base::IpAddress& via = hop ? hop->address : remote;
  const base::IpAddress* source = local.is_any() ? i.source_for(remote, via) : &local;
  if (source == nullptr || source->is_v4() != remote.is_v4()) return PathOutcome::kNoSource;
  base::MacAddress mac{};
  bool pending = false;
  if (remote.is_multicast()) {
    mac = wire::multicast_mac(remote);
  } else if (i.is_broadcast(remote)) {
    mac = base::MacAddress::broadcast();
  } else if (!i.neighbours_known) {
    pending = !resolve({via, index}, now, outputs, mac);
  }
  const std::uint32_t users = path.users;
  path = reply_path(index, *source, remote, mac);
  path.users = users;
  path.ip_id = state_.ip_id += 0x1001;  // apart from other paths to the same host
  path.mtu = state_.path_mtu.lookup(remote, i.mtu, now);
  path.flags = pending ? port::kPathPending : 0;
  if (outputs.batches[index] != nullptr) apply_caps(outputs.batches[index]->caps(), path);
  return pending ? PathOutcome::kPending : PathOutcome::kReady;
}

std::uint8_t Ip::interface_of(const base::IpAddress& local) const {
  for (std::uint8_t i = 0; i < kMaxInterfaces; ++i) {
    if (state_.interfaces[i].up && state_.interfaces[i].owns(local)) return i;
  }
  return kMaxInterfaces;
}

bool Ip::learn_mtu(const IcmpError& error, base::Instant now) {
  const auto hop = next_hop(error.quoted.dst);
  if (error.kind != IcmpError::Kind::kTooBig || !hop) return false;
  const std::uint16_t mtu = state_.interfaces[hop->interface].mtu;
  if (!state_.path_mtu.learn(error.quoted.dst, error.mtu, error.quoted.total_length, mtu, now)) {
    return false;
  }
  ++state_.generation;
  return true;
}

base::Instant Ip::next_deadline() const {
  return std::min(state_.neighbours.earliest(), state_.reassembly.earliest());
}

std::optional<base::IpAddress> Ip::take_failed() {
  if (state_.failed_count == 0) return std::nullopt;
  return state_.failed[--state_.failed_count];
}

}  // namespace ringway::ip
