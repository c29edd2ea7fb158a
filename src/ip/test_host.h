#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "ip/ip.h"
#include "port/port.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/packet_view.h"
#include "wire/test_bytes.h"

namespace ringway::ip {

using Bytes = std::vector<std::byte>;

inline base::IpAddress addr(std::string_view text) { return *base::parse_ip(text); }
inline base::MacAddress mac(std::string_view text) { return *base::parse_mac(text); }
inline base::Instant at_ms(std::int64_t ms) {
  return base::Instant{} + base::Duration::milliseconds(ms);
}

inline const base::MacAddress kOurMac = mac("02:00:00:00:00:01");
inline const base::MacAddress kPeerMac = mac("02:00:00:00:00:02");

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Memory that starts as an arena does: all zero.
template <typename T>
struct Zeroed {
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> value{static_cast<T*>(std::calloc(1, sizeof(T)))};
  T& operator*() { return *value; }
  T* operator->() { return value.get(); }
};

/// Keeps what is sent.
class CapturePort final : public port::Port {
 public:
  CapturePort(mem::FramePool* pool, const port::Caps& caps) : pool_(pool), caps_(caps) {}

  std::string_view name() const override { return "capture"; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc>) override { return 0; }
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override {
    for (const auto& d : packets) {
      const std::byte* data = pool_->data(d.slot) + d.offset;
      sent.emplace_back(data, data + d.length);
      pool_->free(d.slot);
    }
    return packets.size();
  }
  base::Result<int> arm() override { return base::fail(base::ErrorCode::kUnavailable, "no fd"); }

  std::vector<Bytes> sent;

 private:
  mem::FramePool* pool_;
  port::Caps caps_;
};

/// An Ip with one Ethernet interface, 10.0.0.1/24, fd00::1/64 and fe80::1/64 (index 1), and the
/// links with the loopback addresses (index 0).
class IpHost : public ::testing::Test {
 protected:
  static constexpr std::uint8_t kLinks = 0;
  static constexpr std::uint8_t kEther = 1;

  IpHost() {
    port::Caps links;
    links.neighbours_known = true;
    links.mtu = 65'535;
    ip.set_interface(kLinks, links);
    ip.add_address(kLinks, {addr("127.0.0.1"), 8});
    ip.add_address(kLinks, {addr("::1"), 128});
    ip.set_interface(kEther, port_.caps());
    ip.add_address(kEther, {addr("10.0.0.1"), 24});
    ip.add_address(kEther, {addr("fd00::1"), 64});
    ip.add_address(kEther, {addr("fe80::1"), 64});
    outputs.batches[kEther] = &batch;
  }
  ~IpHost() override {
    batch.flush();
    EXPECT_EQ(pool.free_count() + held, pool.size()) << "frames leaked";
  }

  static port::Caps caps() {
    port::Caps c;
    c.mac = kOurMac;
    return c;
  }

  /// Parses and gives a frame to ip. The verdict's frame and `view` stay valid until the next one.
  Verdict receive(const Bytes& bytes, std::uint8_t interface = kEther) {
    received = bytes;
    view = wire::PacketView{};
    const auto drop = wire::parse_frame(received, {}, view);
    EXPECT_EQ(drop, wire::ParseDrop::kNone) << wire::name(drop);
    return ip.input({interface, received, view, batch}, now);
  }
  /// What was sent since the last call.
  std::vector<Bytes> sent() {
    batch.flush();
    return std::exchange(port_.sent, {});
  }
  std::uint64_t counted(Counter c) const { return ip.state().counters.get(c); }

  Zeroed<State> state;
  Zeroed<mem::CellSlab> cells;
  mem::FramePoolState pool_state{4096, 64, 0, 0, 0, 0};
  Bytes region = Bytes(64 * 4096);
  mem::FramePool pool{&pool_state, region.data()};
  mem::RegionTable regions;
  CapturePort port_{&pool, caps()};
  port::TxBatch batch{&port_, &pool, nullptr, 0};
  Bytes scratch = Bytes(Reassembly::kScratchBytes);
  Ip ip{*state, {&*cells, &pool, &regions}, scratch};
  Outputs outputs;
  base::Instant now = at_ms(0);
  Bytes received;
  wire::PacketView view;
  std::uint32_t held = 0;  // frames that a test knows to be kept
};

/// "dst src type payload" of an Ethernet frame in hexadecimal.
inline Bytes ethernet(const base::MacAddress& dst, const base::MacAddress& src,
                      std::string_view type) {
  Bytes bytes(12);
  std::memcpy(bytes.data(), dst.bytes.data(), 6);
  std::memcpy(&bytes[6], src.bytes.data(), 6);
  return bytes + wire::hex(type);
}

struct Ipv4Options {
  std::uint16_t id = 1;
  std::uint16_t offset = 0;
  bool more = false;
  std::uint8_t ttl = 64;
};

inline Bytes ipv4_frame(std::string_view src, std::string_view dst, wire::Protocol protocol,
                        const Bytes& payload, const Ipv4Options& o = {}) {
  wire::Ipv4Header h;
  h.src = addr(src);
  h.dst = addr(dst);
  h.protocol = protocol;
  h.total_length = static_cast<std::uint16_t>(20 + payload.size());
  h.id = o.id;
  h.fragment_offset = o.offset;
  h.more_fragments = o.more;
  h.ttl = o.ttl;
  Bytes bytes(20);
  h.emit(bytes.data());
  return ethernet(kOurMac, kPeerMac, "0800") + bytes + payload;
}

inline Bytes ipv6_frame(std::string_view src, std::string_view dst, wire::Protocol protocol,
                        const Bytes& payload, std::uint8_t hop_limit = 64) {
  wire::Ipv6Header h;
  h.src = addr(src);
  h.dst = addr(dst);
  h.next_header = protocol;
  h.payload_length = static_cast<std::uint16_t>(payload.size());
  h.hop_limit = hop_limit;
  Bytes bytes(40);
  h.emit(bytes.data());
  return ethernet(kOurMac, kPeerMac, "86dd") + bytes + payload;
}

inline Bytes icmp(std::string_view text) {
  Bytes message = wire::hex(text);
  wire::finish_icmp(message);
  return message;
}
inline Bytes icmpv6(std::string_view text, std::string_view src, std::string_view dst) {
  Bytes message = wire::hex(text);
  wire::finish_icmpv6(message, addr(src), addr(dst));
  return message;
}

}  // namespace ringway::ip
