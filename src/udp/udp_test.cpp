#include "udp/udp.h"

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
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/packet_view.h"
#include "wire/udp.h"

namespace ringway::udp {
namespace {

using Bytes = std::vector<std::byte>;

base::IpAddress addr(std::string_view text) { return *base::parse_ip(text); }
base::Endpoint at(std::string_view text, std::uint16_t port) { return {addr(text), port}; }

Bytes bytes_of(std::string_view text) {
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

TEST_F(UdpTest, Datagram_IsDeliveredWithItsAddresses) {
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(udp.readiness(s), EPOLLOUT | EPOLLWRNORM);
  EXPECT_EQ(receive("hello"), Outcome::kDelivered);
  EXPECT_EQ(events_of(s), static_cast<std::uint32_t>(EPOLLIN));
  EXPECT_EQ(udp.readable_bytes(s), 5U);
  EXPECT_NE(udp.readiness(s) & EPOLLIN, 0U);
  EXPECT_EQ(take(s), "hello");
  EXPECT_EQ(message.remote, at("10.0.0.2", 4000));
  EXPECT_EQ(message.local, addr("10.0.0.1"));
  EXPECT_EQ(message.length, 5U);
  EXPECT_EQ(take(s), "");
  EXPECT_EQ(error, EAGAIN);
}

TEST_F(UdpTest, EmptyDatagram_IsOneOfItsOwn) {
  const auto s = bound(at("10.0.0.1", 53));
  receive("");
  receive("x");
  EXPECT_EQ(take(s), "");
  EXPECT_EQ(error, 0);
  EXPECT_EQ(take(s), "x");
}

TEST_F(UdpTest, TooSmallABuffer_TruncatesAndTells) {
  const auto s = bound(at("10.0.0.1", 53));
  receive("hello");
  receive("next");
  EXPECT_EQ(take(s, 2), "he");
  EXPECT_EQ(message.length, 5U);
  EXPECT_EQ(take(s), "next");
}

TEST_F(UdpTest, Peek_LeavesTheDatagram) {
  const auto s = bound(at("10.0.0.1", 53));
  receive("hello");
  char text[8];
  iovec v{text, sizeof text};
  EXPECT_EQ(udp.recv(s, {&v, 1}, true, message).bytes, 5U);
  EXPECT_EQ(take(s), "hello");
}

TEST_F(UdpTest, Recv_ScattersOverSeveralBuffers) {
  const auto s = bound(at("10.0.0.1", 53));
  const std::string large(1000, 'a');
  receive(large + "bc");
  std::string first(1001, '\0');
  std::string second(10, '\0');
  iovec v[2] = {{first.data(), first.size()}, {second.data(), second.size()}};
  EXPECT_EQ(udp.recv(s, v, false, message).bytes, 1002U);
  EXPECT_EQ(first, large + "b");
  EXPECT_EQ(second[0], 'c');
}

TEST_F(UdpTest, LargeDatagram_IsCopiedOrKeptByReference) {
  const auto s = bound(at("10.0.0.1", 53));
  const std::string large(9000, 'q');
  EXPECT_EQ(receive(large), Outcome::kDelivered);
  EXPECT_EQ(take(s), large);
  const Bytes payload = bytes_of(std::string(1000, 'r'));
  std::byte* frame = peer_region.data() + 2 * 4096 + 100;
  wire::UdpHeader{4000, 53, 1008, 0}.emit(frame);
  std::copy(payload.begin(), payload.end(), frame + 8);
  Arrival a;
  a.data = frame;
  a.length = 1008;
  a.offset = 100;
  a.frame = mem::FrameRef::make(1, 2);
  a.local = addr("10.0.0.1");
  a.remote = addr("10.0.0.2");
  EXPECT_EQ(udp.input(a), Outcome::kDelivered);
  EXPECT_TRUE(a.taken);
  EXPECT_EQ(sink.released, 0U);
  EXPECT_EQ(take(s), std::string(1000, 'r'));
  EXPECT_EQ(sink.released, 1U);
  a.taken = false;
  a.must_copy = true;
  EXPECT_EQ(udp.input(a), Outcome::kDelivered);
  EXPECT_FALSE(a.taken);
  EXPECT_EQ(take(s), std::string(1000, 'r'));
}

TEST_F(UdpTest, FullReceiveBuffer_DropsAndCounts) {
  const auto s = bound(at("10.0.0.1", 53), {.receive_buffer_bytes = 2048});
  int delivered = 0;
  for (int i = 0; i < 20; ++i) delivered += receive("x") == Outcome::kDelivered ? 1 : 0;
  EXPECT_EQ(delivered, 8);
  EXPECT_EQ(udp.socket(s).drops, 12U);
  EXPECT_EQ(counted(Counter::kDropReceiveBuffer), 12U);
  take(s);
  EXPECT_EQ(receive("x"), Outcome::kDelivered);
}

TEST_F(UdpTest, OneLargeDatagram_FitsAnySmallBuffer) {
  const auto s = bound(at("10.0.0.1", 53), {.receive_buffer_bytes = 2048});
  EXPECT_EQ(receive(std::string(5000, 'x')), Outcome::kDelivered);
  EXPECT_EQ(receive("y"), Outcome::kDropped);
  EXPECT_EQ(take(s).size(), 5000U);
}

TEST_F(UdpTest, BadLengthOrNoSocket_AreTold) {
  EXPECT_EQ(receive("x"), Outcome::kNoSocket);
  const Bytes bad = {std::byte{1}, std::byte{2}, std::byte{0}, std::byte{53},
                     std::byte{0}, std::byte{9}, std::byte{0}, std::byte{0}};
  Arrival a;
  a.data = bad.data();
  a.length = 8;
  EXPECT_EQ(udp.input(a), Outcome::kDropped);
  EXPECT_EQ(counted(Counter::kDropBadHeader), 1U);
}

TEST_F(UdpTest, MostSpecificSocket_Wins) {
  const Options shared{.reuse_address = true};
  const auto any6 = bound(at("::", 53), shared);
  const auto any4 = bound(at("0.0.0.0", 53), shared);
  const auto exact = bound(at("10.0.0.1", 53), shared);
  const auto connected = bound(at("10.0.0.1", 53), shared);
  udp.connect(connected, addr("10.0.0.1"), at("10.0.0.2", 4000), kPath);
  EXPECT_EQ(udp.find(at("10.0.0.1", 53), at("10.0.0.2", 4000)), connected);
  EXPECT_EQ(udp.find(at("10.0.0.1", 53), at("10.0.0.2", 4001)), exact);
  EXPECT_EQ(udp.find(at("10.0.0.9", 53), at("10.0.0.2", 4001)), any4);
  EXPECT_EQ(udp.find(at("fd00::1", 53), at("fd00::2", 4001)), any6);
  close(any4);
  EXPECT_EQ(udp.find(at("10.0.0.9", 53), at("10.0.0.2", 4001)), any6);
  EXPECT_EQ(udp.find(at("10.0.0.9", 54), at("10.0.0.2", 4001)), 0U);
}

TEST_F(UdpTest, V6OnlySocket_TakesNoIpv4) {
  bound(at("::", 53), {.v6_only = true});
  EXPECT_EQ(udp.find(at("10.0.0.1", 53), at("10.0.0.2", 1)), 0U);
  EXPECT_NE(udp.find(at("fd00::1", 53), at("fd00::2", 1)), 0U);
  bound(at("0.0.0.0", 53));  // no conflict
}

TEST_F(UdpTest, BindConflicts_FollowAddressAndReuse) {
  bound(at("0.0.0.0", 53));
  const auto other = udp.open(1, {}).index;
  open.insert(other);
  EXPECT_EQ(udp.bind(other, at("10.0.0.1", 53)), EADDRINUSE);
  EXPECT_EQ(udp.bind(other, at("::", 53)), EADDRINUSE);
  udp.options(other).reuse_port = true;
  EXPECT_EQ(udp.bind(other, at("10.0.0.1", 53)), EADDRINUSE);
  EXPECT_EQ(udp.bind(other, at("10.0.0.1", 54)), 0);
  EXPECT_EQ(udp.bind(other, at("10.0.0.1", 55)), EINVAL);
  bound(at("10.0.0.1", 54), {.reuse_port = true});
}

TEST_F(UdpTest, ReusePort_SpreadsPeersAndKeepsEachAtOne) {
  const Options shared{.reuse_port = true};
  const std::set<std::uint32_t> group = {bound(at("10.0.0.1", 53), shared),
                                         bound(at("10.0.0.1", 53), shared),
                                         bound(at("10.0.0.1", 53), shared)};
  std::set<std::uint32_t> hit;
  for (std::uint16_t port = 1; port < 100; ++port) {
    const auto s = udp.find(at("10.0.0.1", 53), at("10.0.0.2", port));
    EXPECT_EQ(udp.find(at("10.0.0.1", 53), at("10.0.0.2", port)), s);
    hit.insert(s);
  }
  EXPECT_EQ(hit, group);
}

TEST_F(UdpTest, Multicast_GoesToEverySocketOfThePort) {
  const auto a = bound(at("0.0.0.0", 5353), {.reuse_address = true});
  const auto b = bound(at("224.0.0.251", 5353), {.reuse_address = true});
  EXPECT_EQ(receive("m", at("224.0.0.251", 5353), at("10.0.0.2", 5353), true), Outcome::kDelivered);
  EXPECT_EQ(take(a), "m");
  EXPECT_EQ(take(b), "m");
  EXPECT_EQ(receive("m", at("224.0.0.9", 9), at("10.0.0.2", 5353), true), Outcome::kNoSocket);
}

TEST_F(UdpTest, SendTo_WritesHeaderAndChecksum) {
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(send_to(s, "hello").bytes, 5U);
  const auto out = flush();
  ASSERT_EQ(out.size(), 1U);
  wire::PacketView v;
  ASSERT_EQ(wire::parse_frame(out[0], {}, v), wire::ParseDrop::kNone);
  EXPECT_TRUE(v.l4_checksum_ok);
  EXPECT_NE(base::load_be16(&out[0][40]), 0);
  EXPECT_EQ(v.src_port, 53);
  EXPECT_EQ(v.dst_port, 4000);
  EXPECT_EQ(Bytes(out[0].begin() + v.payload_offset, out[0].end()), bytes_of("hello"));
}

TEST_F(UdpTest, SendOverIpv6_GathersAndVerifies) {
  const auto s = bound(at("::", 53));
  char a[] = "he";
  char b[] = "llo";
  iovec v[3] = {{a, 2}, {nullptr, 0}, {b, 3}};
  EXPECT_EQ(udp.send_to(s, v, at("fd00::2", 9), kPath6).bytes, 5U);
  const auto out = flush();
  ASSERT_EQ(out.size(), 1U);
  wire::PacketView view;
  ASSERT_EQ(wire::parse_frame(out[0], {}, view), wire::ParseDrop::kNone);
  EXPECT_EQ(Bytes(out[0].begin() + view.payload_offset, out[0].end()), bytes_of("hello"));
}

TEST_F(UdpTest, PortThatSums_GetsThePseudoHeader) {
  paths[kPath].flags = port::kPathTxChecksum;
  const auto s = bound(at("10.0.0.1", 53));
  send_to(s, "hello");
  auto out = flush();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(port_.flags.at(0), mem::kFrameCsumNeeded);
  // A device sums up from the UDP header on, and stores the complement.
  const auto sum = wire::internet_checksum(std::span(out[0]).subspan(34));
  base::store_be16(&out[0][40], sum);
  wire::PacketView v;
  EXPECT_EQ(wire::parse_frame(out[0], {}, v), wire::ParseDrop::kNone);
  EXPECT_TRUE(v.l4_checksum_ok);
}

TEST_F(UdpTest, ConnectedSocket_SendsToItsPeerOnly) {
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(udp.send(s, {}).error, EDESTADDRREQ);
  EXPECT_EQ(udp.connect(s, addr("10.0.0.1"), at("10.0.0.2", 4000), kPath), 0);
  EXPECT_EQ(paths[kPath].users, 1U);
  char text[] = "hi";
  iovec v{text, 2};
  EXPECT_EQ(udp.send(s, {&v, 1}).bytes, 2U);
  EXPECT_EQ(flush().size(), 1U);
  EXPECT_EQ(receive("x", at("10.0.0.1", 53), at("10.0.0.2", 4001)), Outcome::kNoSocket);
  udp.disconnect(s, addr("0.0.0.0"));
  EXPECT_EQ(paths[kPath].users, 0U);
  EXPECT_EQ(receive("x", at("10.0.0.1", 53), at("10.0.0.2", 4001)), Outcome::kDelivered);
}

TEST_F(UdpTest, RefusedSends_SayWhy) {
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(send_to(s, std::string(65'508, 'x')).error, EMSGSIZE);
  EXPECT_EQ(send_to(s, "x", at("10.0.0.2", 0)).error, EINVAL);
  EXPECT_EQ(send_to(s, "x", at("10.0.0.2", 1), 0).error, ENETUNREACH);
  paths[kPath].flags = port::kPathDown;
  EXPECT_EQ(send_to(s, "x").error, ENETUNREACH);
  paths[kPath].flags = 0;
  udp.shutdown_write(s);
  EXPECT_EQ(send_to(s, "x").error, EPIPE);
}

TEST_F(UdpTest, Broadcast_NeedsLeave) {
  paths[3] = make_path("10.0.0.1", "10.0.0.255");
  std::memset(paths[3].header.data(), 0xff, 6);
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(send_to(s, "x", at("10.0.0.255", 9), 3).error, EACCES);
  udp.options(s).broadcast = true;
  EXPECT_EQ(send_to(s, "x", at("10.0.0.255", 9), 3).bytes, 1U);
  flush();
}

TEST_F(UdpTest, BeyondTheMtu_IsCutUnlessForbidden) {
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(send_to(s, std::string(1472, 'x')).bytes, 1472U);
  EXPECT_EQ(flush().size(), 1U);
  EXPECT_EQ(send_to(s, std::string(65'507, 'x')).bytes, 65'507U);
  ASSERT_EQ(cut_datagrams.size(), 1U);
  ASSERT_EQ(cut_datagrams[0].size(), 65'515U);
  auto sum = wire::pseudo_header(addr("10.0.0.1"), addr("10.0.0.2"), 17, 65'515);
  sum.add(cut_datagrams[0]);
  EXPECT_TRUE(sum.verifies());
  udp.options(s).dont_fragment = true;
  EXPECT_EQ(send_to(s, std::string(1473, 'x')).error, EMSGSIZE);
}

TEST_F(UdpTest, PendingPath_QueuesInOrderAndSendsWhenReady) {
  paths[kPath].flags = port::kPathPending;
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(send_to(s, "one").bytes, 3U);
  EXPECT_EQ(send_to(s, std::string(700, '2')).bytes, 700U);
  EXPECT_EQ(paths[kPath].users, 2U);
  udp.output();
  EXPECT_TRUE(udp.has_output());
  EXPECT_TRUE(flush().empty());
  paths[kPath].flags = 0;
  EXPECT_EQ(send_to(s, "three").bytes, 5U);
  udp.output();
  EXPECT_FALSE(udp.has_output());
  const auto out = flush();
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[0].size(), 42U + 3);
  EXPECT_EQ(out[1].size(), 42U + 700);
  EXPECT_EQ(out[2].size(), 42U + 5);
  for (const auto& frame : out) {
    wire::PacketView v;
    EXPECT_EQ(wire::parse_frame(frame, {}, v), wire::ParseDrop::kNone);
  }
}

TEST_F(UdpTest, FullSendBuffer_SaysAgainAndTellsOfRoom) {
  paths[kPath].flags = port::kPathPending;
  const auto s = bound(at("10.0.0.1", 53), {.send_buffer_bytes = 2048});
  int taken = 0;
  while (send_to(s, "x").error == 0) ++taken;
  EXPECT_EQ(taken, 8);
  EXPECT_EQ(send_to(s, "x").error, EAGAIN);
  EXPECT_EQ(udp.readiness(s) & EPOLLOUT, 0U);
  paths[kPath].flags = 0;
  udp.output();
  EXPECT_NE(events_of(s) & EPOLLOUT, 0U);
  EXPECT_EQ(flush().size(), 8U);
}

TEST_F(UdpTest, FailedPath_DropsWhatWaitsForItAndTells) {
  paths[kPath].flags = port::kPathPending;
  paths[kPath6].flags = port::kPathPending;
  const auto s = bound(at("::", 53));
  send_to(s, "four");
  send_to(s, "six", at("fd00::2", 9), kPath6);
  udp.path_failed(kPath, EHOSTUNREACH);
  EXPECT_EQ(paths[kPath].users, 0U);
  EXPECT_EQ(events_of(s), static_cast<std::uint32_t>(EPOLLERR));
  EXPECT_EQ(udp.error(s), EHOSTUNREACH);
  EXPECT_EQ(udp.error(s), 0);
  paths[kPath6].flags = 0;
  udp.output();
  EXPECT_EQ(flush().size(), 1U);
}

TEST_F(UdpTest, ClosedSocket_StillSendsWhatWaits) {
  paths[kPath].flags = port::kPathPending;
  const auto s = bound(at("10.0.0.1", 53));
  send_to(s, "bye");
  close(s);
  EXPECT_EQ(udp.find(at("10.0.0.1", 53), at("10.0.0.2", 1)), 0U);
  paths[kPath].flags = 0;
  udp.output();
  EXPECT_EQ(flush().size(), 1U);
  EXPECT_EQ(state->sockets.in_use(), 0U);
}

TEST_F(UdpTest, IcmpError_ReachesConnectedSocketsOnly) {
  const auto s = bound(at("10.0.0.1", 53));
  udp.on_icmp_error(at("10.0.0.1", 53), at("10.0.0.2", 4000), ECONNREFUSED);
  EXPECT_EQ(udp.error(s), 0);
  udp.options(s).receive_errors = true;
  udp.on_icmp_error(at("10.0.0.1", 53), at("10.0.0.2", 4000), ECONNREFUSED);
  EXPECT_EQ(udp.error(s), ECONNREFUSED);
  udp.options(s).receive_errors = false;
  udp.connect(s, addr("10.0.0.1"), at("10.0.0.2", 4000), kPath);
  udp.on_icmp_error(at("10.0.0.1", 53), at("10.0.0.2", 4000), ECONNREFUSED);
  EXPECT_NE(udp.readiness(s) & EPOLLERR, 0U);
  EXPECT_EQ(take(s), "");
  EXPECT_EQ(error, ECONNREFUSED);
  EXPECT_EQ(send_to(s, "x").bytes, 1U);
  flush();
}

TEST_F(UdpTest, ShutdownRead_EndsTheStream) {
  const auto s = bound(at("10.0.0.1", 53));
  udp.shutdown_read(s);
  EXPECT_EQ(receive("x"), Outcome::kDropped);
  take(s);
  EXPECT_EQ(error, 0);
  EXPECT_NE(udp.readiness(s) & EPOLLRDHUP, 0U);
  udp.shutdown_write(s);
  EXPECT_NE(udp.readiness(s) & EPOLLHUP, 0U);
}

TEST_F(UdpTest, Memberships_AreListedOnceEach) {
  const auto s = bound(at("0.0.0.0", 5353));
  EXPECT_EQ(udp.join(s, addr("224.0.0.251"), 1), 0);
  EXPECT_EQ(udp.join(s, addr("224.0.0.251"), 1), EADDRINUSE);
  EXPECT_EQ(udp.join(s, addr("224.0.0.251"), 2), 0);
  EXPECT_EQ(udp.leave(s, addr("224.0.0.251"), 2), 0);
  EXPECT_EQ(udp.leave(s, addr("224.0.0.251"), 2), EADDRNOTAVAIL);
  Membership m;
  ASSERT_TRUE(udp.take_membership(s, m));
  EXPECT_EQ(m.interface, 1U);
  EXPECT_FALSE(udp.take_membership(s, m));
}

TEST_F(UdpTest, CloseWithEverythingQueued_LeaksNothing) {
  const auto s = bound(at("10.0.0.1", 53));
  receive("small");
  receive(std::string(9000, 'l'));
  udp.join(s, addr("224.0.0.251"), 1);
  udp.connect(s, addr("10.0.0.1"), at("10.0.0.2", 4000), kPath);
  close(s);
  EXPECT_EQ(events_of(s), 0U);
  EXPECT_EQ(cells->in_use(), 0U);
}

TEST_F(UdpTest, NoCells_DropsAndCounts) {
  const auto s = bound(at("10.0.0.1", 53), {.receive_buffer_bytes = Options::kMaxBuffer});
  std::vector<std::uint32_t> all;
  while (const std::uint32_t i = cells->allocate_raw()) all.push_back(i);
  EXPECT_EQ(receive("x"), Outcome::kDropped);
  EXPECT_EQ(counted(Counter::kDropNoMemory), 1U);
  paths[kPath].flags = port::kPathPending;
  EXPECT_EQ(send_to(s, "x").error, ENOBUFS);
  cells->free(all.back());
  all.pop_back();
  EXPECT_EQ(receive(std::string(1000, 'x')), Outcome::kDropped);
  EXPECT_EQ(receive("x"), Outcome::kDelivered);
  for (const auto i : all) cells->free(i);
}

TEST(UdpCounters, Names_AreAllThereAndDiffer) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < Counters::kSize; ++i) {
    const auto text = name(static_cast<Counter>(i));
    EXPECT_FALSE(text.empty());
    EXPECT_TRUE(names.insert(text).second) << text;
  }
}

}  // namespace
}  // namespace ringway::udp
