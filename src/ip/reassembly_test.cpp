#include "ip/reassembly.h"

#include "ip/test_host.h"
#include "wire/udp.h"

namespace ringway::ip {
namespace {

using wire::Protocol;

class Fragments : public IpHost {
 protected:
  // Bytes [from, to) of a UDP datagram of `datagram.size()`.
  Verdict piece(std::size_t from, std::size_t to, std::uint16_t id = 9) {
    const Bytes part(datagram.begin() + static_cast<std::ptrdiff_t>(from),
                     datagram.begin() + static_cast<std::ptrdiff_t>(to));
    return receive(ipv4_frame("10.0.0.2", "10.0.0.1", Protocol::kUdp, part,
                              {id, static_cast<std::uint16_t>(from), to != datagram.size(), 64}));
  }
  Verdict piece6(std::size_t from, std::size_t to) {
    Bytes part(8);
    wire::Ipv6FragmentHeader{Protocol::kUdp, static_cast<std::uint16_t>(from),
                             to != datagram.size(), 77}
        .emit(part.data());
    part.insert(part.end(), datagram.begin() + static_cast<std::ptrdiff_t>(from),
                datagram.begin() + static_cast<std::ptrdiff_t>(to));
    return receive(ipv6_frame("fd00::2", "fd00::1", Protocol::kFragment, part));
  }
  void make(std::size_t payload, std::string_view src, std::string_view dst) {
    datagram = wire::hex("1234 0035 0000 0000") + Bytes(payload);
    for (std::size_t i = 8; i < datagram.size(); ++i) datagram[i] = static_cast<std::byte>(i * 7);
    base::store_be16(&datagram[4], static_cast<std::uint16_t>(datagram.size()));
    wire::finish_udp(datagram, addr(src), addr(dst));
  }
  void SetUp() override { make(992, "10.0.0.2", "10.0.0.1"); }
  void TearDown() override {
    if (state->reassembly.size() == 0) {
      EXPECT_EQ(cells->in_use(), 0U);
      EXPECT_EQ(state->reassembly.cells_used(), 0U);
    }
  }
  void expect_whole(const Verdict& v) {
    ASSERT_EQ(v.action, Verdict::Action::kDeliver);
    EXPECT_FALSE(view.is_fragment);
    EXPECT_EQ(view.dst_port, 53);
    EXPECT_TRUE(view.l4_checksum_ok);
    EXPECT_EQ(Bytes(v.frame.begin() + view.l4_offset, v.frame.begin() + view.end), datagram);
    EXPECT_EQ(state->reassembly.size(), 0U);
  }

  Bytes datagram;
};

TEST_F(Fragments, InOrder_AreDeliveredWhole) {
  EXPECT_EQ(piece(0, 496).action, Verdict::Action::kDone);
  expect_whole(piece(496, 1000));
}

TEST_F(Fragments, AnyOrder_IsDeliveredWhole) {
  piece(800, 1000);
  piece(400, 800);
  expect_whole(piece(0, 400));
}

TEST_F(Fragments, OverIpv6_AreDeliveredWhole) {
  make(2992, "fd00::2", "fd00::1");
  piece6(2000, 3000);
  piece6(0, 1000);
  expect_whole(piece6(1000, 2000));
}

TEST_F(Fragments, LargestDatagram_IsDeliveredWhole) {
  make(65'507, "10.0.0.2", "10.0.0.1");
  Verdict v;
  for (std::size_t from = 0; from < datagram.size(); from += 1480) {
    v = piece(from, std::min(from + 1480, datagram.size()));
  }
  expect_whole(v);
}

TEST_F(Fragments, ExactDuplicate_IsIgnored) {
  piece(0, 496);
  piece(0, 496);
  expect_whole(piece(496, 1000));
}

TEST_F(Fragments, Overlap_EndsTheDatagram) {
  piece(0, 496);
  piece(488, 992);
  EXPECT_EQ(counted(Counter::kDropFragmentOverlap), 1U);
  EXPECT_EQ(state->reassembly.size(), 0U);
}

TEST_F(Fragments, PieceBeyondTheLastOne_EndsTheDatagram) {
  piece(496, 1000);
  datagram.resize(1200);
  piece(1000, 1096);
  EXPECT_EQ(counted(Counter::kDropFragmentInconsistent), 1U);
  EXPECT_EQ(state->reassembly.size(), 0U);
}

TEST_F(Fragments, TwoDatagrams_AreKeptApart) {
  piece(0, 496, 1);
  piece(496, 1000, 2);
  EXPECT_EQ(state->reassembly.size(), 2U);
  piece(0, 496, 2);
  piece(496, 1000, 1);
  EXPECT_EQ(counted(Counter::kReassembled), 2U);
}

TEST_F(Fragments, Timeout_FreesAndAnswersIfTheFirstIsThere) {
  piece(0, 496, 1);
  piece(496, 1000, 2);
  EXPECT_EQ(ip.next_deadline(), at_ms(30'000));
  ip.poll(at_ms(29'999), outputs);
  EXPECT_EQ(state->reassembly.size(), 2U);
  ip.poll(at_ms(30'000), outputs);
  EXPECT_EQ(state->reassembly.size(), 0U);
  EXPECT_EQ(counted(Counter::kDropFragmentTimeout), 2U);
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(Bytes(out[0].begin() + 34, out[0].begin() + 36), wire::hex("0b01"));
  EXPECT_TRUE(ip.next_deadline().is_never());
}

TEST_F(Fragments, MoreDatagramsThanTheLimit_AreDropped) {
  for (std::uint16_t id = 0; id < Reassembly::kMaxDatagrams + 5; ++id) piece(0, 8, id);
  EXPECT_EQ(state->reassembly.size(), Reassembly::kMaxDatagrams);
  EXPECT_EQ(counted(Counter::kDropFragmentLimit), 5U);
}

TEST_F(Fragments, MoreBytesThanTheLimit_EndTheDatagram) {
  make(65'507, "10.0.0.2", "10.0.0.1");
  for (std::uint16_t id = 0; id < 60; ++id) {
    for (std::size_t from = 0; from < 16 * 1400; from += 1400) piece(from, from + 1400, id);
  }
  EXPECT_GT(counted(Counter::kDropFragmentLimit), 0U);
  EXPECT_LE(state->reassembly.cells_used(), Reassembly::kMaxCells);
  EXPECT_EQ(state->reassembly.cells_used(), cells->in_use());
}

TEST_F(Fragments, MorePiecesThanTheLimit_EndTheDatagram) {
  for (std::size_t from = 0; from <= PartialDatagram::kMaxFragments * 8U; from += 8) {
    piece(from, from + 8);
  }
  EXPECT_EQ(counted(Counter::kDropFragmentLimit), 1U);
  EXPECT_EQ(state->reassembly.size(), 0U);
}

TEST_F(Fragments, ReassembledWithAWrongChecksum_IsDropped) {
  datagram[500] ^= std::byte{1};
  piece(0, 496);
  EXPECT_EQ(piece(496, 1000).action, Verdict::Action::kDone);
  EXPECT_EQ(counted(Counter::kDropFragmentInconsistent), 1U);
}

}  // namespace
}  // namespace ringway::ip
