// The examples as their users run them: processes that talk through links.

#include <gtest/gtest.h>
#include <ringway/channel.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "examples/example_program.h"

namespace ringway {
namespace {

class ExamplesTest : public testing::Test {
 protected:
  ExamplesTest() {
    std::string pattern = testing::TempDir() + "ringway-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    setenv("RINGWAY_DIR", directory_.c_str(), 1);
    setenv("RINGWAYD", RINGWAY_PROGRAMS "/ringwayd", 1);
  }
  ~ExamplesTest() override { std::filesystem::remove_all(directory_); }

  /// Connects to a server that says "ready PORT".
  static Handle connect(Channel& channel, Program& server) {
    const std::string ready = server.line();
    EXPECT_EQ(ready.rfind("ready ", 0), 0U) << ready;
    const auto port = static_cast<std::uint16_t>(std::stoi(ready.substr(6)));
    channel.connect(Endpoint::loopback_v4(port), 0);
    Completion c;
    EXPECT_EQ(channel.wait({&c, 1}, 1, Clock::now() + std::chrono::seconds(20)), 1);
    EXPECT_EQ(c.error, 0);
    return c.handle;
  }
  /// Writes `request`, ends the stream, and reads to its end.
  static std::string exchange(Channel& channel, Handle connection, const std::string& request) {
    std::vector<char> buffer(65536);
    std::string answer;
    channel.write(connection, request.data(), request.size(), 0, kQuiet);
    channel.half_close(connection, 0, kQuiet);
    channel.read(connection, buffer.data(), buffer.size(), 0, kStanding);
    for (Completion c;;) {
      if (channel.wait({&c, 1}, 1, Clock::now() + std::chrono::seconds(20)) != 1) {
        ADD_FAILURE() << "no answer after " << answer.size() << " bytes";
        return answer;
      }
      EXPECT_EQ(c.error, 0);
      if (c.length == 0 || c.error != 0) return answer;
      answer.append(reinterpret_cast<const char*>(c.data), c.length);
    }
  }

  std::string directory_;
};

TEST_F(ExamplesTest, Echo_AnswersEveryByte) {
  Program server({"rw-example-echo", "0"});
  const auto channel = Channel::open({});
  ASSERT_NE(channel, nullptr);
  std::string request(3'000'000, ' ');
  for (std::size_t i = 0; i < request.size(); ++i) request[i] = static_cast<char>(i * 7 >> 3);
  EXPECT_TRUE(exchange(*channel, connect(*channel, server), request) == request);
}

TEST_F(ExamplesTest, Http_AnswersPipelinedRequestsAndRefusesOtherMethods) {
  Program server({"rw-example-http", "0"});
  const auto channel = Channel::open({});
  ASSERT_NE(channel, nullptr);
  const std::string answers =
      exchange(*channel, connect(*channel, server),
               "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"
               "POST / HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string page = "HTTP/1.1 200 OK\r\n";
  const auto first = answers.find(page);
  const auto second = answers.find(page, first + 1);
  EXPECT_EQ(first, 0U) << answers;
  ASSERT_NE(second, std::string::npos) << answers;
  EXPECT_EQ(answers.find(page, second + 1), std::string::npos);
  EXPECT_GT(answers.find("HTTP/1.1 405 "), second);
  const auto body = answers.find("\r\n\r\n") + 4;
  EXPECT_NE(answers.find("Content-Length: " + std::to_string(second - body)), std::string::npos);
}

TEST_F(ExamplesTest, PingPong_CountsItsMessages) {
  Program server({"rw-pingpong-native", "server", "--port", "7900"});
  ASSERT_EQ(server.line(), "ready\n");
  Program client({"rw-pingpong-native", "client", "--connect", "127.0.0.1:7900", "--count", "2000",
                  "--warm-up", "0"});
  const std::string result = client.line();
  EXPECT_NE(result.find("\"count\":2000"), std::string::npos) << result;
  EXPECT_EQ(client.finish(), 0);
  EXPECT_NE(server.line().find("\"messages\":2000"), std::string::npos);
}

}  // namespace
}  // namespace ringway
