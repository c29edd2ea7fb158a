#include <fcntl.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "driver/loop/loop.h"
#include "driver/pcap/capture_port.h"
#include "driver/pcap/replay.h"
#include "port/conformance.h"

namespace ringway::driver {
namespace {

using base::Duration;
using base::Instant;
using port::ConformanceCase;
using port::ConformanceWire;
using port::PortConformance;
using port::TestPool;
using Bytes = std::vector<std::byte>;

/// A file name that is gone at the end of the test.
class ScratchFile {
 public:
  ScratchFile() {
    std::string name = (std::filesystem::temp_directory_path() / "ringway-XXXXXX").string();
    const base::UniqueFd made(::mkstemp(name.data()));
    path_ = name;
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Captured {
  std::int64_t ns;
  std::size_t length;
  Bytes bytes;
};

/// What libpcap reads from the file.
std::vector<Captured> read_all(const std::string& path) {
  std::vector<Captured> frames;
  std::array<char, PCAP_ERRBUF_SIZE> reason{};
  pcap_t* file = pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO,
                                                         reason.data());
  if (file == nullptr) {
    ADD_FAILURE() << reason.data();
    return frames;
  }
  EXPECT_EQ(pcap_datalink(file), DLT_EN10MB);
  pcap_pkthdr* header = nullptr;
  const unsigned char* data = nullptr;
  int status = 0;
  while ((status = pcap_next_ex(file, &header, &data)) == 1) {
    const auto bytes = std::as_bytes(std::span(data, header->caplen));
    frames.push_back({std::int64_t{header->ts.tv_sec} * 1'000'000'000 + header->ts.tv_usec,
                      header->len, Bytes(bytes.begin(), bytes.end())});
  }
  EXPECT_EQ(status, PCAP_ERROR_BREAK) << pcap_geterr(file);
  pcap_close(file);
  return frames;
}

Bytes frame_of(std::size_t length, int fill) { return Bytes(length, static_cast<std::byte>(fill)); }

class CaptureWire final : public ConformanceWire {
 public:
  CaptureWire() {
    auto [one, two] = open_loop(LoopOptions{}, pool_.pool(), peer_pool_.pool());
    port_ = capture(std::move(one), CaptureFile::create(file_.path(), {}).value(), pool_.pool());
    peer_ = std::move(two);
  }
  port::Port& port() override { return *port_; }
  TestPool& pool() override { return pool_; }
  bool inject(std::span<const std::byte> frame) override {
    const mem::FrameDesc desc = peer_pool_.frame(frame);
    if (peer_->tx_burst({&desc, 1}) == 1) return true;
    peer_pool_.pool().free(desc.slot);
    return false;
  }
  std::optional<Bytes> collect() override {
    mem::FrameDesc desc;
    if (peer_->rx_burst({&desc, 1}) == 0) return std::nullopt;
    return peer_pool_.take({&desc, 1});
  }
  void close() override { port_.reset(); }

 private:
  ScratchFile file_;
  TestPool pool_{2048};
  TestPool peer_pool_{2048};
  std::unique_ptr<port::Port> port_;
  std::unique_ptr<port::Port> peer_;
};

INSTANTIATE_TEST_SUITE_P(Capture, PortConformance,
                         testing::Values(ConformanceCase{
                             "loop",
                             []() -> base::Result<std::unique_ptr<ConformanceWire>> {
                               return std::make_unique<CaptureWire>();
                             }}),
                         port::conformance_name);

TEST(CaptureFile, EveryFrame_IsReadByLibpcap) {
  const ScratchFile scratch;
  {
    CaptureOptions options;
    options.epoch_ns = 1'700'000'000'000'000'000;
    auto file = CaptureFile::create(scratch.path(), options);
    ASSERT_TRUE(file) << file.error().what;
    file->write(Instant{123'456'789}, frame_of(60, 1));
    file->write(Instant{2'000'000'001}, frame_of(65'550, 2));
  }
  const auto frames = read_all(scratch.path());
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].ns, 1'700'000'000'123'456'789);
  EXPECT_EQ(frames[0].bytes, frame_of(60, 1));
  EXPECT_EQ(frames[1].ns, 1'700'000'002'000'000'001);
  EXPECT_EQ(frames[1].bytes, frame_of(65'550, 2));
}

TEST(CaptureFile, SnapLength_KeepsTheBeginningAndTheLength) {
  const ScratchFile scratch;
  {
    CaptureOptions options;
    options.snap_bytes = 64;
    auto file = CaptureFile::create(scratch.path(), options);
    ASSERT_TRUE(file);
    file->begin({}, 1000);
    file->add(frame_of(50, 1));
    file->add(frame_of(950, 2));
    file->write({}, frame_of(10, 3));
  }
  const auto frames = read_all(scratch.path());
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].length, 1000U);
  EXPECT_EQ(frames[0].bytes.size(), 64U);
  EXPECT_EQ(frames[0].bytes[50], std::byte{2});
  EXPECT_EQ(frames[1].bytes, frame_of(10, 3));
}

TEST(CaptureFile, NextGeneration_IsReadByLibpcapWithAllItSays) {
  const ScratchFile scratch;
  {
    CaptureOptions options;
    options.epoch_ns = 1'700'000'000'000'000'000;
    options.next_generation = true;
    options.interface = "tap:rw0";
    options.snap_bytes = 100;
    auto file = CaptureFile::create(scratch.path(), options);
    ASSERT_TRUE(file) << file.error().what;
    for (int length = 57; length <= 60; ++length) {  // every padding
      file->write(Instant{123'456'789}, frame_of(static_cast<std::size_t>(length), length),
                  CaptureWay::kIn);
    }
    file->begin(Instant{2'000'000'001}, 150, CaptureWay::kOut);
    file->add(frame_of(70, 1));
    file->add(frame_of(80, 2));
    const std::size_t mark = file->mark();
    file->write(Instant{2'000'000'002}, frame_of(60, 9));
    file->drop(mark);
    file->set_missed(7);
  }
  const auto frames = read_all(scratch.path());
  ASSERT_EQ(frames.size(), 5U);
  EXPECT_EQ(frames[0].ns, 1'700'000'000'123'456'789);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(frames[static_cast<std::size_t>(i)].bytes,
              frame_of(static_cast<std::size_t>(57 + i), 57 + i));
  }
  EXPECT_EQ(frames[4].length, 150U);
  EXPECT_EQ(frames[4].bytes.size(), 100U);
  std::ifstream stream(scratch.path(), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  EXPECT_NE(text.find("tap:rw0"), std::string::npos);
  EXPECT_EQ(text.size() % 4, 0U);
  // The statistics at the end: five frames in the file, seven missing.
  const std::string tail = text.substr(text.size() - 52);
  EXPECT_EQ(tail[0], 5);
  EXPECT_EQ(tail[24], 5);
  EXPECT_EQ(tail[36], 7);
}

TEST(CaptureFile, NoSuchFolder_IsAnError) {
  const auto file = CaptureFile::create("/nonexistent/x.pcap", {});
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().what.find("/nonexistent/x.pcap"), std::string::npos);
}

TEST(CaptureFile, FullDisk_IsAnError) {
  // /dev/full lets a program open it and refuses every write.
  EXPECT_FALSE(CaptureFile::create("/dev/full", {}));
}

TEST(Capture, BothDirections_AreInTheFileWithTheirTime) {
  const ScratchFile scratch;
  TestPool pool_a(64);
  TestPool pool_b(64);
  auto [a, b] = open_loop(LoopOptions{}, pool_a.pool(), pool_b.pool());
  a = capture(std::move(a), CaptureFile::create(scratch.path(), {}).value(), pool_a.pool());
  a->advance(Instant{} + Duration::microseconds(5));
  std::array<mem::FrameDesc, 2> chain{pool_a.frame(frame_of(20, 1)), pool_a.frame(frame_of(40, 2))};
  chain[0].flags = mem::kFrameMore;
  ASSERT_EQ(a->tx_burst(chain), 2U);
  a->advance(Instant{} + Duration::microseconds(7));
  EXPECT_EQ(read_all(scratch.path()).size(), 1U) << "in the file after the turn";
  const mem::FrameDesc back = pool_b.frame(frame_of(70, 3));
  ASSERT_EQ(b->tx_burst({&back, 1}), 1U);
  mem::FrameDesc received;
  ASSERT_EQ(a->rx_burst({&received, 1}), 1U);
  pool_a.pool().free(received.slot);
  a.reset();
  const auto frames = read_all(scratch.path());
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].ns, 5'000);
  EXPECT_EQ(frames[0].length, 60U);
  EXPECT_EQ(frames[0].bytes[19], std::byte{1});
  EXPECT_EQ(frames[0].bytes[20], std::byte{2});
  EXPECT_EQ(frames[1].ns, 7'000);
  EXPECT_EQ(frames[1].bytes, frame_of(70, 3));
}

TEST(Capture, FramesThatDoNotLeave_AreNotInTheFile) {
  const ScratchFile scratch;
  TestPool pool_a(64);
  TestPool pool_b(64);
  LoopOptions options;
  options.size = 2;
  auto [a, b] = open_loop(options, pool_a.pool(), pool_b.pool());
  a = capture(std::move(a), CaptureFile::create(scratch.path(), {}).value(), pool_a.pool());
  std::array<mem::FrameDesc, 4> descs;
  for (auto& desc : descs) desc = pool_a.frame(frame_of(60, 1));
  descs[0].flags = mem::kFrameCsumNeeded;  // this port does not compute checksums
  EXPECT_EQ(a->tx_burst(descs), 3U);
  pool_a.pool().free(descs[3].slot);
  a.reset();
  EXPECT_EQ(read_all(scratch.path()).size(), 2U);
}

class Replay : public testing::Test {
 protected:
  std::unique_ptr<port::Port> open(const std::string& options) {
    auto port = open_replay(
        ReplayOptions::parse(port::Spec::parse("pcap:" + scratch_.path() + options).value())
            .value(),
        pool_.pool());
    EXPECT_TRUE(port) << port.error().what;
    return port ? std::move(*port) : nullptr;
  }
  CaptureFile file(std::uint32_t snap_bytes = 262144) {
    CaptureOptions options;
    options.epoch_ns = 1'700'000'000'000'000'000;
    options.snap_bytes = snap_bytes;
    return CaptureFile::create(scratch_.path(), options).value();
  }
  std::vector<Bytes> receive(port::Port& port) {
    std::vector<Bytes> frames;
    mem::FrameDesc desc;
    while (port.rx_burst({&desc, 1}) == 1) frames.push_back(pool_.take({&desc, 1}));
    return frames;
  }

  ScratchFile scratch_;
  TestPool pool_{64};
};

TEST_F(Replay, Frames_ComeAtTheirTimesFromTheFirstAdvance) {
  {
    auto out = file();
    out.write(Instant{} + Duration::milliseconds(100), frame_of(60, 1));
    out.write(Instant{} + Duration::milliseconds(101), frame_of(61, 2));
    out.write(Instant{} + Duration::milliseconds(105), frame_of(62, 3));
  }
  const auto port = open("");
  EXPECT_TRUE(receive(*port).empty());
  const Instant start = Instant{} + Duration::seconds(50);
  port->advance(start);
  EXPECT_EQ(receive(*port), std::vector<Bytes>{frame_of(60, 1)});
  EXPECT_EQ(port->next_deadline(), start + Duration::milliseconds(1));
  port->advance(start + Duration::milliseconds(4));
  EXPECT_EQ(receive(*port), std::vector<Bytes>{frame_of(61, 2)});
  port->advance(port->next_deadline());
  EXPECT_EQ(receive(*port), std::vector<Bytes>{frame_of(62, 3)});
  EXPECT_TRUE(port->next_deadline().is_never());
  EXPECT_EQ(port->counters().rx_frames, 3U);
}

TEST_F(Replay, WithoutPace_AllComeAtOnce) {
  {
    auto out = file();
    for (int i = 0; i < 10; ++i) out.write(Instant{} + Duration::seconds(i), frame_of(60, i));
  }
  const auto port = open(",pace=off");
  port->advance({});
  EXPECT_EQ(receive(*port).size(), 10U);
}

TEST_F(Replay, CutAndLongFrames_AreCounted) {
  {
    auto out = file(2000);
    out.write({}, frame_of(2500, 1));  // only in part in the file
    out.write({}, frame_of(1515, 2));  // longer than the MTU allows
    out.write({}, frame_of(1514, 3));
  }
  const auto port = open("");
  port->advance({});
  EXPECT_EQ(receive(*port), std::vector<Bytes>{frame_of(1514, 3)});
  EXPECT_EQ(port->counters().rx_bad, 1U);
  EXPECT_EQ(port->counters().rx_too_long, 1U);
}

TEST_F(Replay, FileThatEndsInARecord_EndsThere) {
  {
    auto out = file();
    out.write({}, frame_of(60, 1));
    out.write({}, frame_of(60, 2));
  }
  std::filesystem::resize_file(scratch_.path(), 24 + 16 + 60 + 16 + 30);
  const auto port = open("");
  port->advance({});
  EXPECT_EQ(receive(*port), std::vector<Bytes>{frame_of(60, 1)});
  EXPECT_EQ(port->counters().rx_bad, 1U);
}

TEST_F(Replay, PoolEmpty_KeepsTheFrame) {
  file().write({}, frame_of(60, 1));
  const auto port = open("");
  port->advance({});
  std::vector<std::uint32_t> all;
  for (std::uint32_t slot; (slot = pool_.pool().allocate()) != mem::FramePool::kNone;) {
    all.push_back(slot);
  }
  EXPECT_TRUE(receive(*port).empty());
  EXPECT_EQ(port->counters().rx_no_frame, 1U);
  for (const std::uint32_t slot : all) pool_.pool().free(slot);
  EXPECT_EQ(receive(*port).size(), 1U);
}

TEST_F(Replay, Sending_GoesNowhereAndLeaksNothing) {
  file().write({}, frame_of(60, 1));
  const auto port = open("");
  std::array<mem::FrameDesc, 2> descs{pool_.frame(frame_of(60, 1)), pool_.frame(frame_of(3000, 1))};
  EXPECT_EQ(port->tx_burst(descs), 2U);
  EXPECT_EQ(port->counters().tx_frames, 1U);
  EXPECT_EQ(port->counters().tx_bad, 1U);
  EXPECT_TRUE(pool_.whole());
  EXPECT_EQ(port->arm().error().code, base::ErrorCode::kUnavailable);
}

TEST_F(Replay, Speed_ScalesTheTimes) {
  {
    auto out = file();
    out.write(Instant{}, frame_of(60, 1));
    out.write(Instant{} + Duration::milliseconds(10), frame_of(61, 2));
  }
  const auto fast = open(",speed=10");
  fast->advance({});
  EXPECT_EQ(receive(*fast).size(), 1U);
  EXPECT_EQ(fast->next_deadline(), Instant{} + Duration::milliseconds(1));
  const auto slow = open(",speed=0.5");
  slow->advance({});
  EXPECT_EQ(receive(*slow).size(), 1U);
  EXPECT_EQ(slow->next_deadline(), Instant{} + Duration::milliseconds(20));
}

TEST_F(Replay, Loop_GoesOnAfterTheLastPause) {
  {
    auto out = file();
    out.write(Instant{}, frame_of(60, 1));
    out.write(Instant{} + Duration::milliseconds(10), frame_of(61, 2));
  }
  const auto port = open(",loop=3");
  std::vector<std::int64_t> times;
  port->advance({});
  for (Instant now{}; !port->next_deadline().is_never();) {
    now = port->next_deadline();
    port->advance(now);
    times.insert(times.end(), receive(*port).size(), now.ns / 1'000'000);
  }
  EXPECT_EQ(times, (std::vector<std::int64_t>{0, 10, 20, 30, 40, 50}));
}

TEST_F(Replay, LoopOfNothing_Ends) {
  file();
  const auto port = open(",loop=0");
  port->advance({});
  EXPECT_TRUE(receive(*port).empty());
  EXPECT_TRUE(port->next_deadline().is_never());
}

TEST_F(Replay, Out_HoldsWhatWasSent) {
  const ScratchFile out;
  {
    const auto port = open_replay(
        ReplayOptions::parse(port::Spec::parse("pcap:,out=" + out.path()).value()).value(),
        pool_.pool());
    ASSERT_TRUE(port) << port.error().what;
    std::array<mem::FrameDesc, 2> chain{pool_.frame(frame_of(20, 1)), pool_.frame(frame_of(40, 2))};
    chain[0].flags = mem::kFrameMore;
    EXPECT_EQ((*port)->tx_burst(chain), 2U);
    mem::FrameDesc none;
    EXPECT_EQ((*port)->rx_burst({&none, 1}), 0U);
  }
  const auto frames = read_all(out.path());
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].bytes.size(), 60U);
}

TEST_F(Replay, NotACapture_IsRefused) {
  std::ofstream(scratch_.path()) << "this is no capture file, but it is long enough for a header";
  ReplayOptions options;
  options.path = scratch_.path();
  EXPECT_FALSE(open_replay(options, pool_.pool()));
  options.path = "/nonexistent.pcap";
  const auto port = open_replay(options, pool_.pool());
  ASSERT_FALSE(port);
  EXPECT_NE(port.error().what.find("/nonexistent.pcap"), std::string::npos);
  EXPECT_FALSE(ReplayOptions::parse(port::Spec::parse("pcap").value()));
  EXPECT_FALSE(ReplayOptions::parse(port::Spec::parse("pcap:x,speed=0").value()));
  EXPECT_FALSE(ReplayOptions::parse(port::Spec::parse("pcap:x,fast").value()));
}

}  // namespace
}  // namespace ringway::driver
