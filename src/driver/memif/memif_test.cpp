#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

#include "driver/memif/memif_port.h"
#include "driver/memif/test_slave.h"
#include "port/conformance.h"
#include "port/packet.h"

namespace ringway::driver {
namespace {

using base::Result;
using memif::Field;
using memif::Message;
using memif::MessageType;
using port::ConformanceCase;
using port::ConformanceWire;
using port::PortConformance;
using port::TestPool;
using Bytes = std::vector<std::byte>;

MemifOptions options_of(const std::string& spec) {
  return MemifOptions::parse(port::Spec::parse(spec).value()).value();
}

std::unique_ptr<mem::PoolMemory> shared_pool() {
  return mem::PoolMemory::create("memif-test", 4096).value();
}

/// The port under test, and one of the other role as its peer, over an abstract socket.
class MemifWire final : public ConformanceWire {
 public:
  MemifWire(bool master, const std::string& own, const std::string& peer)
      : pool_(shared_pool()), peer_pool_(shared_pool()), zero_copy_(own.find("zero") != own.npos) {
    static int number = 0;
    const std::string path =
        "@rw-memif-" + std::to_string(::getpid()) + "-" + std::to_string(number++);
    own_ = "memif:" + path + ",role=" + (master ? "master" : "slave") + own;
    peer_ = "memif:" + path + ",role=" + (master ? "slave" : "master") + peer;
    port_ = MemifPort::open(options_of(own_), *pool_.shared()).value();
    EXPECT_TRUE(bring_up());
  }
  port::Port& port() override { return *port_; }
  TestPool& pool() override { return pool_; }
  bool inject(std::span<const std::byte> frame) override {
    if (frame.size() > 3000 || !other_) return false;
    const mem::FrameDesc desc = peer_pool_.frame(frame);
    if (other_->tx_burst({&desc, 1}) == 1) return true;
    peer_pool_.pool().free(desc.slot);
    return false;
  }
  std::optional<Bytes> collect() override {
    if (!other_) return std::nullopt;
    mem::FrameDesc desc;
    if (other_->rx_burst({&desc, 1}) == 0) return std::nullopt;
    return peer_pool_.take({&desc, 1});
  }
  void close() override { port_.reset(); }
  bool keeps_frames() const override { return zero_copy_; }
  bool take_down() override {
    other_.reset();
    now_ = now_ + base::Duration::milliseconds(100);
    port_->advance(now_);
    return true;
  }
  bool bring_up() override {
    other_ = MemifPort::open(options_of(peer_), *peer_pool_.shared()).value();
    for (int turn = 1; turn < 20 && !(port_->connected() && other_->connected()); ++turn) {
      now_ = now_ + base::Duration::milliseconds(100);
      port_->advance(now_);
      other_->advance(now_);
    }
    return port_->connected() && other_->connected();
  }

 private:
  TestPool pool_;
  TestPool peer_pool_;
  bool zero_copy_;
  std::string own_;
  std::string peer_;
  std::unique_ptr<MemifPort> port_;
  std::unique_ptr<MemifPort> other_;
  /// Ahead of the times that tests give.
  base::Instant now_ = base::Instant{} + base::Duration::seconds(100'000);
};

ConformanceCase wire_case(const char* name, bool master, std::string own, std::string peer) {
  return {name, [=]() -> Result<std::unique_ptr<ConformanceWire>> {
            return std::make_unique<MemifWire>(master, own, peer);
          }};
}

INSTANTIATE_TEST_SUITE_P(Memif, PortConformance,
                         testing::Values(wire_case("slave", false, "", ""),
                                         wire_case("master", true, "", ""),
                                         wire_case("master_of_zerocopy", true, "", ",zerocopy"),
                                         wire_case("zerocopy", false, ",zerocopy,ring=512", ""),
                                         wire_case("small_rings", false, ",ring=128", "")),
                         port::conformance_name);

/// A master of ours, and a slave that does what a test wants.
class MemifMaster : public testing::Test {
 protected:
  void SetUp() override { connect(options_of("memif:@unused,role=master,id=7")); }
  void TearDown() override {
    port_.reset();
    EXPECT_TRUE(pool_.whole());
  }
  void connect(const MemifOptions& options) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()),
              0);
    slave_.attach(base::UniqueFd(pair[0]));
    port_ = MemifPort::adopt(options, pool_.pool(), base::UniqueFd(pair[1]));
  }
  void turn() {
    now_ = now_ + base::Duration::milliseconds(10);
    port_->advance(now_);
  }
  /// All messages of a well-behaved slave.
  void offer(const memif::TestRegion& region) {
    slave_.send(slave_.init(7));
    slave_.send(slave_.add_region(0, region.size()), region.fd());
    slave_.send(slave_.add_ring(true, 0, 0, region.log2()), slave_.bell());
    slave_.send(slave_.add_ring(false, 0, region.m2s_offset(), region.log2()), slave_.bell());
    slave_.send(Message(MessageType::kConnect));
    turn();
  }
  std::size_t receive() {
    std::array<mem::FrameDesc, 64> descs;
    const std::size_t n = port_->rx_burst(descs);
    for (std::size_t i = 0; i < n; ++i) pool_.pool().free(descs[i].slot);
    return n;
  }
  void expect_cut_off(const std::string& reason) {
    EXPECT_FALSE(port_->connected());
    EXPECT_EQ(port_->reason(), reason);
    EXPECT_EQ(port_->counters().rx_bad, 1U);
  }

  TestPool pool_{256};
  memif::TestSlave slave_;
  std::unique_ptr<MemifPort> port_;
  base::Instant now_{};
};

TEST_F(MemifMaster, WellBehavedSlave_IsConnectedAndHeard) {
  memif::TestRegion region(4);
  offer(region);
  ASSERT_TRUE(port_->connected()) << port_->reason();
  region.send({0, 0, 60, region.buffers(), 0});
  EXPECT_EQ(receive(), 1U);
  EXPECT_EQ(region.s2m_tail(), 1);
  region.send({memif::kDescNext, 0, 60, region.buffers(), 0});
  EXPECT_EQ(receive(), 0U) << "the packet has no end yet";
  region.send({0, 0, 60, region.buffers() + 100, 0});
  EXPECT_EQ(receive(), 1U);
  EXPECT_EQ(port_->counters().rx_bytes, 180U);
}

TEST_F(MemifMaster, MessagesOfAnyKindOutOfTurn_CutTheLinkOff) {
  for (const int type : {2, 4, 5, 6, 7, 9, 0xffff}) {
    connect(options_of("memif:@unused,role=master"));
    slave_.send(Message(static_cast<MessageType>(static_cast<std::uint16_t>(type))));
    turn();
    EXPECT_FALSE(port_->connected());
    EXPECT_EQ(port_->counters().rx_bad, 1U) << type;
  }
}

TEST_F(MemifMaster, ShortMessage_CutsTheLinkOff) {
  slave_.send_bytes(100);
  turn();
  expect_cut_off("malformed message");
}

TEST_F(MemifMaster, WrongIdModeVersionOrSecret_IsRefused) {
  struct Case {
    std::size_t field;
    const char* reason;
  };
  for (const Case& wrong :
       {Case{Field::kInitVersion, "incompatible version"}, Case{Field::kInitId, "id not found"},
        Case{Field::kInitMode, "only Ethernet mode is supported"},
        Case{Field::kInitSecret, "incorrect secret"}}) {
    connect(options_of("memif:@unused,role=master,id=7,secret=word"));
    Message init = slave_.init(7);
    init.put_text(Field::kInitSecret, "word", Message::kSecretBytes);
    init.put(wrong.field, std::uint8_t{0x7a});
    slave_.send(init);
    turn();
    expect_cut_off(wrong.reason);
  }
}

TEST_F(MemifMaster, RegionThatIsShorterThanSaid_IsRefused) {
  memif::TestRegion region(4);
  slave_.send(slave_.init(7));
  slave_.send(slave_.add_region(0, region.size() + 1), region.fd());
  turn();
  expect_cut_off("invalid region");
}

TEST_F(MemifMaster, RegionWithoutFileOrOutOfOrder_IsRefused) {
  slave_.send(slave_.init(7));
  slave_.send(slave_.add_region(0, 4096));
  turn();
  expect_cut_off("missing region fd");
  connect(options_of("memif:@unused,role=master,id=7"));
  memif::TestRegion region(4);
  slave_.send(slave_.init(7));
  slave_.send(slave_.add_region(1, region.size()), region.fd());
  turn();
  expect_cut_off("invalid region index");
}

TEST_F(MemifMaster, RingOutsideItsRegion_IsRefused) {
  struct Case {
    std::uint32_t offset;
    unsigned log2;
    const char* reason;
  };
  memif::TestRegion region(4);
  for (const Case& wrong :
       {Case{static_cast<std::uint32_t>(region.size()) - 64, 4, "invalid offset of a ring"},
        Case{0xffffff00U, 4, "invalid offset of a ring"}, Case{1, 4, "invalid offset of a ring"},
        Case{0, 15, "invalid ring size"}, Case{0, 0, "invalid ring size"},
        Case{0, 255, "invalid ring size"}, Case{4096, 4, "wrong cookie in a ring"}}) {
    connect(options_of("memif:@unused,role=master,id=7"));
    slave_.send(slave_.init(7));
    slave_.send(slave_.add_region(0, region.size()), region.fd());
    slave_.send(slave_.add_ring(true, 0, wrong.offset, wrong.log2), slave_.bell());
    slave_.send(slave_.add_ring(false, 0, region.m2s_offset(), 4), slave_.bell());
    slave_.send(Message(MessageType::kConnect));
    turn();
    expect_cut_off(wrong.reason);
  }
}

TEST_F(MemifMaster, BellThatIsNoEventfd_IsRefused) {
  memif::TestRegion region(4);
  slave_.send(slave_.init(7));
  slave_.send(slave_.add_region(0, region.size()), region.fd());
  slave_.send(slave_.add_ring(true, 0, 0, 4), region.fd());
  turn();
  expect_cut_off("invalid interrupt fd");
}

TEST_F(MemifMaster, RingsInAFileThatCanShrink_AreRefused) {
  memif::TestRegion region(4, 0);
  offer(region);
  expect_cut_off("rings must lie in a file that is sealed against shrinking");
}

TEST_F(MemifMaster, IndexOutOfRange_CutsTheLinkOff) {
  memif::TestRegion region(4);
  offer(region);
  ASSERT_TRUE(port_->connected());
  region.set_s2m_head(17);
  EXPECT_EQ(receive(), 0U);
  expect_cut_off("ring index out of range");
}

TEST_F(MemifMaster, DescriptorOutOfRange_CutsTheLinkOff) {
  memif::TestRegion region(4);
  const auto size = static_cast<std::uint32_t>(region.size());
  for (const memif::Desc& wrong :
       {memif::Desc{0, 1, 60, 0, 0}, memif::Desc{0, 0, 60, size - 59, 0},
        memif::Desc{0, 0, size, 1, 0}, memif::Desc{0, 0, 0xffffffffU, 0xffffffffU, 0},
        memif::Desc{0, 0xffff, 1, 0, 0}}) {
    connect(options_of("memif:@unused,role=master,id=7"));
    region.reset();
    offer(region);
    ASSERT_TRUE(port_->connected()) << port_->reason();
    region.send(wrong);
    EXPECT_EQ(receive(), 0U);
    expect_cut_off("descriptor out of range");
  }
}

TEST_F(MemifMaster, BuffersOutOfRange_CutTheLinkOffWhenSending) {
  memif::TestRegion region(4);
  offer(region);
  ASSERT_TRUE(port_->connected());
  region.post({0, 3, 2048, 0, 0});
  const mem::FrameDesc desc = pool_.frame(Bytes(60));
  EXPECT_EQ(port_->tx_burst({&desc, 1}), 1U);
  EXPECT_EQ(port_->counters().tx_error, 1U);
  expect_cut_off("descriptor out of range");
}

TEST_F(MemifMaster, EndlessOrEmptyPackets_AreCountedAndTheRestArrives) {
  memif::TestRegion region(8);
  offer(region);
  ASSERT_TRUE(port_->connected());
  for (std::size_t i = 0; i < port::kMaxPieces; ++i) {
    region.send({memif::kDescNext, 0, 1, region.buffers(), 0});
  }
  region.send({0, 0, 0, region.buffers(), 0});
  region.send({memif::kDescNext, 0, 40'000, region.buffers(), 0});
  region.send({0, 0, 40'000, region.buffers(), 0});
  region.send({0, 0, 60, region.buffers(), 0});
  EXPECT_EQ(receive(), 1U);
  EXPECT_TRUE(port_->connected());
  EXPECT_EQ(port_->counters().rx_bad, 2U);
  EXPECT_EQ(port_->counters().rx_too_long, 1U);
}

TEST_F(MemifMaster, BuffersInAFileThatIsCutShort_CostTheLinkAndNotTheProcess) {
  memif::TestRegion rings(4);
  memif::TestRegion frames(4, 0);
  slave_.send(slave_.init(7));
  slave_.send(slave_.add_region(0, rings.size()), rings.fd());
  slave_.send(slave_.add_region(1, frames.size()), frames.fd());
  slave_.send(slave_.add_ring(true, 0, 0, 4), slave_.bell());
  slave_.send(slave_.add_ring(false, 0, rings.m2s_offset(), 4), slave_.bell());
  slave_.send(Message(MessageType::kConnect));
  turn();
  ASSERT_TRUE(port_->connected()) << port_->reason();
  rings.send({0, 1, 60, frames.buffers(), 0});
  EXPECT_EQ(receive(), 1U) << "copied by the kernel";
  ASSERT_EQ(::ftruncate(frames.fd(), 0), 0);
  rings.send({0, 1, 60, frames.buffers(), 0});
  EXPECT_EQ(receive(), 0U);
  expect_cut_off("a region was cut short");
}

TEST(MemifSlave, HostileMaster_CostsTheLink) {
  TestPool pool(256);
  for (const char* wrong : {"connected", "version", "size", "ack"}) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()),
              0);
    const base::UniqueFd master(pair[0]);
    const auto port =
        MemifPort::adopt(options_of("memif:@unused"), pool.pool(), base::UniqueFd(pair[1]));
    Message message(MessageType::kHello);
    if (wrong == std::string("connected")) message = Message(MessageType::kConnected);
    message.put(Field::kHelloLeast, std::uint16_t{0x300});
    message.put(Field::kHelloMost, std::uint16_t{0x300});
    if (wrong == std::string("size")) {
      message.put(Field::kHelloLeast, memif::kVersion);  // but no ring size
    }
    if (wrong == std::string("ack")) message = Message(MessageType::kInit);
    ASSERT_EQ(::send(master.get(), message.bytes.data(), Message::kBytes, 0), 128);
    port->advance(base::Instant{} + base::Duration::seconds(1));
    EXPECT_FALSE(port->connected());
    EXPECT_EQ(port->counters().rx_bad, 1U) << wrong;
  }
  EXPECT_TRUE(pool.whole());
}

TEST(MemifPort, SecondMaster_SaysThatItIsInUse) {
  const std::string path = testing::TempDir() + "rw-memif-" + std::to_string(::getpid());
  TestPool pool(16);
  const MemifOptions options = options_of("memif:" + path + ",role=master");
  {
    const auto first = MemifPort::open(options, pool.pool());
    ASSERT_TRUE(first) << first.error().what;
    const auto second = MemifPort::open(options, pool.pool());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, base::ErrorCode::kExists) << second.error().what;
  }
  const auto again = MemifPort::open(options, pool.pool());
  EXPECT_TRUE(again) << again.error().what;
}

TEST(MemifSpec, Malformed_SaysWhatIsExpected) {
  for (const char* text :
       {"memif", "memif:@", "memif:/x,role=both", "memif:/x,ring=100", "memif:/x,ring=4",
        "memif:/x,secret=0123456789012345678901234", "memif:/x,role=master,zerocopy"}) {
    const auto options = MemifOptions::parse(port::Spec::parse(text).value());
    ASSERT_FALSE(options) << text;
    EXPECT_EQ(options.error().what.find('\n'), std::string::npos);
  }
  TestPool pool(16);
  EXPECT_FALSE(MemifPort::open(options_of("memif:@x,zerocopy"), pool.pool()));
}

}  // namespace
}  // namespace ringway::driver
