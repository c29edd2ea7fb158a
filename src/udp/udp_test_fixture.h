#pragma once

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "port/port.h"
#include "udp/udp.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/packet_view.h"
#include "wire/udp.h"

namespace ringway::udp {

using Bytes = std::vector<std::byte>;

inline base::IpAddress addr(std::string_view text) { return *base::parse_ip(text); }
inline base::Endpoint at(std::string_view text, std::uint16_t port) { return {addr(text), port}; }

inline Bytes bytes_of(std::string_view text) {
  const auto b = std::as_bytes(std::span(text));
  return {b.begin(), b.end()};
}

template <typename T>
std::unique_ptr<T, decltype(&std::free)> zeroed() {
  return {static_cast<T*>(std::calloc(1, sizeof(T))), &std::free};
}

/// Keeps what is sent.
class CapturePort final : public port::Port {
 public:
  explicit CapturePort(mem::FramePool* pool) : pool_(pool) {}
  std::string_view name() const override { return "capture"; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc>) override { return 0; }
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override {
    for (const auto& d : packets) {
      const std::byte* data = pool_->data(d.slot) + d.offset;
      sent.emplace_back(data, data + d.length);
      flags.push_back(d.flags);
      pool_->free(d.slot);
    }
    return packets.size();
  }
  base::Result<int> arm() override { return base::fail(base::ErrorCode::kUnavailable, "no fd"); }

  std::vector<Bytes> sent;
  std::vector<std::uint8_t> flags;

 private:
  mem::FramePool* pool_;
  port::Caps caps_;
};

/// A frame source that counts what is given back.
struct CountingSink final : mem::FrameSink {
  void release(const std::uint32_t*, std::size_t count) override { released += count; }
  std::size_t released = 0;
};

class UdpTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kPath = 1;
  static constexpr std::uint32_t kPath6 = 2;

  UdpTest() {
    paths[kPath] = make_path("10.0.0.1", "10.0.0.2");
    paths[kPath6] = make_path("fd00::1", "fd00::2");
    regions->set(1, {peer_region.data(), 4096, 4, 0, 0, &sink});
    // Slot 0 of the arena's pool is never given out: a FrameRef of 0 is "none".
    arena_pool.allocate();
  }
  ~UdpTest() override {
    flush();
    EXPECT_EQ(pool.free_count(), pool.size());
    for (std::uint32_t i = 1; i <= state->sockets.high_water(); ++i) {
      if (open.contains(i)) udp.close(i);
    }
    udp.output();
    flush();
    EXPECT_EQ(state->sockets.in_use(), 0U);
    EXPECT_EQ(cells->in_use(), 0U);
    EXPECT_EQ(arena_pool.free_count() + 1, arena_pool.size());
    EXPECT_EQ(paths[kPath].users, 0U);
    EXPECT_EQ(state->memberships.in_use(), 0U);
  }

  static port::Path make_path(std::string_view local, std::string_view remote) {
    port::Path p{};
    p.local = addr(local);
    p.remote = addr(remote);
    p.mtu = 1500;
    p.max_frame = 1514;
    p.l3_offset = 14;
    p.is_v6 = p.local.is_v6() ? 1 : 0;
    p.header_length = p.is_v6 != 0 ? 54 : 34;
    const auto type = p.is_v6 != 0 ? wire::EtherType::kIpv6 : wire::EtherType::kIpv4;
    wire::EthernetHeader{{{2, 0, 0, 0, 0, 2}}, {{2, 0, 0, 0, 0, 1}}, type}.emit(p.header.data());
    if (p.is_v6 != 0) {
      wire::Ipv6Header h;
      h.src = p.local;
      h.dst = p.remote;
      h.emit(p.header.data() + 14);
    } else {
      wire::Ipv4Header h;
      h.src = p.local;
      h.dst = p.remote;
      h.emit(p.header.data() + 14);
    }
    return p;
  }

  std::uint32_t bound(const base::Endpoint& local, const Options& options = {}) {
    const std::uint32_t index = udp.open(100, options).index;
    EXPECT_EQ(udp.bind(index, local), 0);
    open.insert(index);
    return index;
  }
  void close(std::uint32_t index) {
    open.erase(index);
    udp.close(index);
  }
  Outcome receive(std::string_view text, const base::Endpoint& to = at("10.0.0.1", 53),
                  const base::Endpoint& from = at("10.0.0.2", 4000), bool to_many = false) {
    Bytes datagram(8);
    wire::UdpHeader{from.port, to.port, static_cast<std::uint16_t>(8 + text.size()), 0}.emit(
        datagram.data());
    const Bytes payload = bytes_of(text);
    datagram.insert(datagram.end(), payload.begin(), payload.end());
    Arrival a;
    a.data = datagram.data();
    a.length = static_cast<std::uint32_t>(datagram.size());
    a.to_many = to_many;
    a.local = to.address;
    a.remote = from.address;
    return udp.input(a);
  }
  std::string take(std::uint32_t index, std::size_t room = 70'000) {
    std::string text(room, '\0');
    iovec v{text.data(), text.size()};
    const Io io = udp.recv(index, {&v, 1}, false, message);
    error = io.error;
    text.resize(io.bytes);
    return text;
  }
  Io send_to(std::uint32_t index, std::string_view text,
             const base::Endpoint& remote = at("10.0.0.2", 4000), std::uint32_t path = kPath) {
    iovec v{const_cast<char*>(text.data()), text.size()};
    return udp.send_to(index, {&v, 1}, remote, path);
  }
  std::vector<Bytes> flush() {
    batch.flush();
    return std::exchange(port_.sent, {});
  }
  std::uint32_t events_of(std::uint32_t index) {
    std::uint32_t bits = 0;
    Event e;
    while (udp.next_event(e)) {
      if (e.index == index) bits |= e.bits;
    }
    return bits;
  }
  std::uint64_t counted(Counter c) const { return udp.counters().get(c); }

  static bool cut(void* context, port::Path&, std::span<const std::byte> l4, port::TxBatch&) {
    static_cast<UdpTest*>(context)->cut_datagrams.emplace_back(l4.begin(), l4.end());
    return true;
  }

  std::unique_ptr<UdpState, decltype(&std::free)> state = zeroed<UdpState>();
  std::unique_ptr<mem::CellSlab, decltype(&std::free)> cells = zeroed<mem::CellSlab>();
  std::unique_ptr<mem::RegionTable> regions = std::make_unique<mem::RegionTable>();
  Bytes region = Bytes(64 * 4096);
  Bytes arena_region = Bytes(64 * 4096);
  Bytes peer_region = Bytes(4 * 4096);
  mem::FramePoolState pool_state{4096, 64, 0, 0, 0, 0};
  mem::FramePoolState arena_pool_state{4096, 64, 0, 0, 0, 0};
  mem::FramePool pool{&pool_state, region.data()};
  mem::FramePool arena_pool{&arena_pool_state, arena_region.data()};
  CountingSink sink;
  CapturePort port_{&pool};
  port::TxBatch batch{&port_, &pool, nullptr, 0};
  port::TxBatch* tx = &batch;
  std::array<port::Path, 4> paths{};
  Bytes scratch = Bytes(65'536);
  std::vector<Bytes> cut_datagrams;
  Udp udp{*state, buffers(), {paths.data(), &tx, &UdpTest::cut, this, scratch}};
  std::set<std::uint32_t> open;
  Message message;
  int error = 0;

 private:
  mem::Buffers buffers() {
    regions->set(0, arena_pool.view());
    return {&*cells, &arena_pool, &*regions};
  }
};

}  // namespace ringway::udp
