#include <gtest/gtest.h>
#include <pcap/pcap.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "dump/arena_source.h"
#include "dump/filter.h"
#include "dump/frame.h"
#include "dump/pcapng.h"
#include "dump/text.h"
#include "mem/arena.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/packet_view.h"
#include "wire/udp.h"

namespace ringway::dump {
namespace {

using base::IpAddress;

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

/// Ethernet and IPv4 around `l4`.
Frame ipv4_frame(wire::Protocol protocol, const std::vector<std::byte>& l4,
                 std::uint8_t flags = 0) {
  Frame frame;
  frame.bytes.resize(34);
  wire::EthernetHeader{}.emit(frame.bytes.data());
  wire::Ipv4Header ip;
  ip.src = IpAddress::v4(10, 0, 0, 1);
  ip.dst = IpAddress::v4(10, 0, 0, 2);
  ip.total_length = static_cast<std::uint16_t>(20 + l4.size());
  ip.protocol = protocol;
  ip.emit(&frame.bytes[14]);
  frame.bytes.insert(frame.bytes.end(), l4.begin(), l4.end());
  frame.record = {};
  frame.record.kept = frame.record.length = static_cast<std::uint32_t>(frame.bytes.size());
  frame.record.flags = flags;
  return frame;
}

std::vector<std::byte> tcp_header(std::uint32_t seq, std::uint32_t ack, std::uint8_t flags,
                                  bool back = false) {
  std::vector<std::byte> tcp(20);
  base::store_be16(&tcp[0], back ? 80 : 4000);
  base::store_be16(&tcp[2], back ? 4000 : 80);
  base::store_be32(&tcp[4], seq);
  base::store_be32(&tcp[8], ack);
  base::store_u8(&tcp[12], 0x50);
  base::store_u8(&tcp[13], flags);
  base::store_be16(&tcp[14], 512);
  return tcp;
}

TEST(TextPrinter, TcpLineIsAsTcpdumpPrintsIt) {
  TextPrinter printer;
  auto syn = tcp_header(1000, 0, 0x02);
  base::store_u8(&syn[12], 0x80);
  const auto options = bytes_of({2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7, 0, 0});
  syn.insert(syn.end(), options.begin(), options.end());
  EXPECT_EQ(printer.line(ipv4_frame(wire::Protocol::kTcp, syn)),
            "IP 10.0.0.1.4000 > 10.0.0.2.80: Flags [S], seq 1000, win 512, options [mss "
            "1460,sackOK,nop,wscale 7,eol], length 0");
  auto data = tcp_header(1001, 501, 0x18);
  data.resize(data.size() + 14);
  EXPECT_EQ(printer.line(ipv4_frame(wire::Protocol::kTcp, data)),
            "IP 10.0.0.1.4000 > 10.0.0.2.80: Flags [P.], seq 1:15, ack 0, win 512, length 14");
  EXPECT_EQ(printer.line(ipv4_frame(wire::Protocol::kTcp, tcp_header(1015, 501, 0x11))),
            "IP 10.0.0.1.4000 > 10.0.0.2.80: Flags [F.], seq 15, ack 0, win 512, length 0");
}

TEST(TextPrinter, OthersHaveALineToo) {
  TextPrinter printer;
  std::vector<std::byte> udp(12);
  wire::UdpHeader{53, 9, 12, 0}.emit(udp.data());
  EXPECT_EQ(printer.line(ipv4_frame(wire::Protocol::kUdp, udp)),
            "IP 10.0.0.1.53 > 10.0.0.2.9: UDP, length 4");
  EXPECT_EQ(printer.line(ipv4_frame(wire::Protocol::kIcmp, bytes_of({8, 0, 0, 0, 0, 7, 0, 3}))),
            "IP 10.0.0.1 > 10.0.0.2: ICMP, echo request, id 7, seq 3, length 8");
  Frame odd;
  odd.bytes.resize(60);
  odd.record.length = odd.record.kept = 60;
  EXPECT_EQ(printer.line(odd), "ethertype 0x0000, length 60");
  odd.bytes.resize(3);
  EXPECT_EQ(printer.line(odd), "[|ether], length 60");
}

TEST(TextPrinter, AnyBytes_GiveALineAndNoMore) {
  TextPrinter printer;
  base::Random random = base::Random::seeded(5);
  for (int i = 0; i < 20'000; ++i) {
    Frame frame = ipv4_frame(i % 2 == 0 ? wire::Protocol::kTcp : wire::Protocol::kIcmp,
                             tcp_header(1, 1, 0x10));
    for (int change = 0; change < 4; ++change) {
      frame.bytes[random.below(static_cast<std::uint32_t>(frame.bytes.size()))] =
          static_cast<std::byte>(random.below(256));
    }
    frame.bytes.resize(random.below(static_cast<std::uint32_t>(frame.bytes.size() + 1)));
    frame.record.kept = static_cast<std::uint32_t>(frame.bytes.size());
    EXPECT_FALSE(printer.line(frame).empty());
    complete_checksums(frame);
  }
}

TEST(Checksums, AreCompletedWhereTheSenderLeftThemOut) {
  std::vector<std::byte> udp(12);
  wire::UdpHeader{53, 9, 12, 0x1234}.emit(udp.data());
  Frame frame = ipv4_frame(wire::Protocol::kUdp, udp, mem::kFrameCsumNeeded);
  wire::PacketView view;
  ASSERT_EQ(wire::parse_frame(frame.bytes, {}, view), wire::ParseDrop::kUdpChecksum);
  EXPECT_TRUE(complete_checksums(frame));
  EXPECT_EQ(wire::parse_frame(frame.bytes, {}, view), wire::ParseDrop::kNone);
  EXPECT_TRUE(view.l4_checksum_ok);

  Frame cut = ipv4_frame(wire::Protocol::kUdp, udp, mem::kFrameCsumNeeded);
  cut.bytes.resize(40);
  cut.record.kept = 40;
  EXPECT_FALSE(complete_checksums(cut));
  Frame wire_frame = ipv4_frame(wire::Protocol::kUdp, udp);
  const auto before = wire_frame.bytes;
  EXPECT_TRUE(complete_checksums(wire_frame));  // what came from a wire stays as it came
  EXPECT_EQ(wire_frame.bytes, before);
}

TEST(Filter, TakesWhatItSays) {
  const auto frame = ipv4_frame(wire::Protocol::kTcp, tcp_header(1, 1, 0x10));
  const auto takes = [&](const std::string& text) {
    return Filter::compile(text)->takes(frame.bytes, frame.record.length);
  };
  EXPECT_TRUE(takes(""));
  EXPECT_TRUE(takes("tcp port 80 and host 10.0.0.1"));
  EXPECT_FALSE(takes("udp"));
  EXPECT_TRUE(takes(*connection_filter("10.0.0.2:80-10.0.0.1:4000")));
  EXPECT_FALSE(takes(*connection_filter("10.0.0.2:81-10.0.0.1:4000")));
  EXPECT_FALSE(Filter::compile("port port"));
  for (const char* wrong : {"", "10.0.0.1:80", "a:1-b:2", "10.0.0.1:99999-10.0.0.2:1"}) {
    EXPECT_FALSE(connection_filter(wrong)) << wrong;
  }
  EXPECT_TRUE(Filter::compile(*connection_filter("[fd00::1]:80-[fd00::2]:90")));
}

TEST(PcapngFile, IsReadByLibpcap) {
  const std::string path = testing::TempDir() + "ringway-dump-test.pcapng";
  {
    auto file = PcapngFile::create(path).value();
    file.add_interface("redis-server/7", 65535);
    Frame frame = ipv4_frame(wire::Protocol::kTcp, tcp_header(1, 1, 0x10));
    frame.unix_ns = 1'700'000'000'123'456'789;
    file.write(frame, 0, true);
    frame.bytes.resize(50);
    frame.record.way = mem::CaptureWay::kOut;
    file.write(frame, 0, false);
    file.add_statistics(0, 2, 5, frame.unix_ns);
    ASSERT_TRUE(file.flush());
  }
  char error[PCAP_ERRBUF_SIZE] = {};
  pcap_t* reader =
      ::pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, error);
  ASSERT_NE(reader, nullptr) << error;
  EXPECT_EQ(::pcap_datalink(reader), DLT_EN10MB);
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  ASSERT_EQ(::pcap_next_ex(reader, &header, &data), 1);
  EXPECT_EQ(header->ts.tv_sec, 1'700'000'000);
  EXPECT_EQ(header->ts.tv_usec, 123'456'789);
  EXPECT_EQ(header->len, 54U);
  EXPECT_EQ(header->caplen, 54U);
  ASSERT_EQ(::pcap_next_ex(reader, &header, &data), 1);
  EXPECT_EQ(header->len, 54U);
  EXPECT_EQ(header->caplen, 50U);
  EXPECT_EQ(::pcap_next_ex(reader, &header, &data), PCAP_ERROR_BREAK);
  ::pcap_close(reader);
  ::unlink(path.c_str());
  EXPECT_FALSE(PcapngFile::create("/nonexistent/x"));
}

struct State {
  alignas(4096) mem::ArenaHeader header;
  mem::CaptureArea capture;
};
constexpr ArenaSource::Layout kLayout{7, offsetof(State, capture)};

TEST(ArenaSource, SwitchesOnReadsAndLapses) {
  auto arena = mem::Arena::create("dump-test", sizeof(State), kLayout.hash).value();
  auto& state = arena.as<State>();
  mem::CaptureTap tap(state.capture.control, state.capture.ring);
  auto source = ArenaSource::open(arena.fd(), kLayout).value();
  const base::Instant now{1'000'000};
  EXPECT_FALSE(tap.look(now));
  source.renew(now, 96);
  ASSERT_TRUE(tap.look(now));
  tap.record(bytes_of({1, 2, 3}), {}, mem::CaptureWay::kIn, 0);
  mem::CaptureRecord record{};
  std::vector<std::byte> bytes(100);
  ASSERT_TRUE(source.next(record, bytes));
  EXPECT_EQ(record.kept, 3U);
  // Who captures is killed: nobody renews.
  EXPECT_FALSE(tap.look(now + ArenaSource::kLease));
}

TEST(ArenaSource, ArenasOfOthers_AreRefused) {
  auto arena = mem::Arena::create("dump-test", sizeof(State), kLayout.hash).value();
  EXPECT_FALSE(ArenaSource::open(arena.fd(), {8, kLayout.offset}));
  EXPECT_FALSE(ArenaSource::open(arena.fd(), {7, kLayout.offset + 4096}));
  const auto small = mem::Arena::create("dump-test", 4096, kLayout.hash).value();
  EXPECT_EQ(ArenaSource::open(small.fd(), kLayout).error().code, base::ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace ringway::dump
