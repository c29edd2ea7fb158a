// The packet examples as their users run them: processes between ports of a switch.

#include <gtest/gtest.h>
#include <ringway/packet.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "examples/example_program.h"
#include "netmap/process.h"

namespace ringway::packet {
namespace {

constexpr int kPatience = 10'000;  // ms

/// A network of this process's own, removed at its end.
class Environment : public testing::Environment {
 public:
  void SetUp() override {
    setenv("RINGWAY_DIR", ("/tmp/packet-test-" + std::to_string(getpid())).c_str(), 1);
  }
  void TearDown() override { netmap::leave(); }
};
const auto* const environment = testing::AddGlobalTestEnvironment(new Environment);

/// An example that has said its first line.
class Example : public Program {
 public:
  explicit Example(std::vector<std::string> words)
      : Program(named(std::move(words))), first_line(line()) {}
  const std::string first_line;

 private:
  static std::vector<std::string> named(std::vector<std::string> words) {
    words[0] = "rw-example-" + words[0];
    return words;
  }
};

/// An IPv4 UDP frame from 10.0.0.`from` to 10.0.0.2, port `port`, to the broadcast address.
std::array<unsigned char, 60> datagram(unsigned char from, unsigned char port) {
  std::array<unsigned char, 60> f{};
  f.fill(0);
  std::memset(f.data(), 0xff, 6);
  f[6] = 2;
  f[11] = from;
  f[12] = 8;
  f[14] = 0x45;
  f[23] = 17;
  f[26] = f[30] = 10;
  f[29] = from;
  f[33] = 2;
  f[35] = from;
  f[37] = port;
  return f;
}

void send(Port& port, const std::array<unsigned char, 60>& frame, std::uint16_t flags = 0) {
  ASSERT_NE(port.tx().available(), 0U);
  Slot& slot = port.tx()[0];
  std::memcpy(port.tx().data(slot), frame.data(), frame.size());
  slot.length = static_cast<std::uint16_t>(frame.size());
  slot.flags = flags;
  port.tx().advance(1);
  if ((flags & kMore) == 0) port.send();  // packets are handed over whole
}

/// The destination port of the next frame, waited for; -1: none came.
int receive(Port& port, int patience = kPatience) {
  Port* const waited[] = {&port};
  if (port.rx().available() == 0) Port::wait(waited, patience);
  if (port.rx().available() == 0) return -1;
  const auto frame = port.rx().frame(port.rx()[0]);
  const int number = frame.size() < 38 ? -2 : std::to_integer<int>(frame[37]);
  port.rx().advance(1);
  return number;
}

TEST(PacketExamples, Bridge_CarriesFramesBothWaysWithoutCopies) {
  const Example bridge({"bridge", "vale0:bridge", "vale1:bridge"});
  EXPECT_NE(bridge.first_line.find("without copies"), std::string::npos) << bridge.first_line;
  const auto a = Port::open("vale0:a");
  const auto b = Port::open("vale1:b");
  ASSERT_NE(a, nullptr);
  ASSERT_NE(b, nullptr);
  for (unsigned char i = 0; i < 100; ++i) {
    send(*a, datagram(1, i));
    ASSERT_EQ(receive(*b), i);
  }
  send(*b, datagram(2, 200));
  EXPECT_EQ(receive(*a), 200);
}

TEST(PacketExamples, Balance_KeepsAFlowOnOneOutput) {
  const Example balance({"balance", "vale0:in", "x{1", "x{2"});
  const auto source = Port::open("vale0:source");
  const std::array<std::unique_ptr<Port>, 2> outputs{Port::open("x}1"), Port::open("x}2")};
  ASSERT_NE(outputs[1], nullptr);
  std::array<int, 2> used{};
  for (unsigned char flow = 1; flow < 20; ++flow) {
    for (int i = 0; i < 3; ++i) send(*source, datagram(flow, 7));
    Port* const both[] = {outputs[0].get(), outputs[1].get()};
    while (outputs[0]->rx().available() + outputs[1]->rx().available() < 3) {
      ASSERT_TRUE(Port::wait(both, kPatience));
    }
    const std::uint32_t first = outputs[0]->rx().available();
    EXPECT_TRUE(first == 0 || first == 3);
    ++used[first == 3 ? 0 : 1];
    for (const auto& output : outputs) output->rx().advance(output->rx().available());
  }
  EXPECT_GT(used[0], 0);
  EXPECT_GT(used[1], 0);
}

TEST(PacketExamples, Capture_WritesWhatItSees) {
  const std::string path = "/tmp/packet-test-" + std::to_string(getpid()) + ".pcap";
  Example capture({"capture", "vale0:capture", path, "2"});
  const auto port = Port::open("vale0:a");
  send(*port, datagram(1, 9));
  send(*port, datagram(1, 8));
  EXPECT_EQ(capture.finish(), 0);
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  ASSERT_EQ(bytes.size(), 24U + 2 * (16 + 60));
  const auto second = datagram(1, 8);
  EXPECT_EQ(std::memcmp(bytes.data() + bytes.size() - 60, second.data(), 60), 0);
  std::filesystem::remove(path);
}

TEST(PacketExamples, Firewall_AppliesTheFirstRuleThatFits) {
  const std::string path = "/tmp/packet-test-" + std::to_string(getpid()) + ".rules";
  std::ofstream(path) << "# a comment\nallow from 10.0.0.1/32 port 53\ndeny proto 17 port 53\n";
  const Example firewall({"firewall", "vale0:fw", "vale1:fw", path});
  EXPECT_EQ(firewall.first_line.substr(0, 7), "2 rules");
  const auto a = Port::open("vale0:a");
  const auto b = Port::open("vale1:b");
  send(*a, datagram(3, 53));         // denied
  send(*a, datagram(3, 53), kMore);  // denied, and so is what would pass if it stood alone
  send(*a, datagram(1, 55));
  send(*a, datagram(1, 53));
  send(*a, datagram(3, 54));
  EXPECT_EQ(receive(*b), 53);
  EXPECT_EQ(receive(*b), 54);
  EXPECT_EQ(b->rx().available(), 0U);
  std::filesystem::remove(path);
}

TEST(PacketExamples, WrongRules_AreNamedByTheirLine) {
  const std::string path = "/tmp/packet-test-" + std::to_string(getpid()) + ".rules";
  std::ofstream(path) << "allow\nforbid everything\n";
  Example firewall({"firewall", "vale0:fw", "vale1:fw", path});
  EXPECT_EQ(firewall.first_line, "");
  EXPECT_NE(firewall.finish(), 0);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace ringway::packet
