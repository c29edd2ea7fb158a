#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

// The command itself, with a runtime directory of its own.
namespace ringway::cli {
namespace {

struct Outcome {
  int status = -1;
  std::string output;  // stdout and stderr
  std::size_t lines() const {
    return static_cast<std::size_t>(std::count(output.begin(), output.end(), '\n'));
  }
};

class CommandTest : public testing::Test {
 protected:
  CommandTest() {
    std::string pattern = testing::TempDir() + "ringway-cli-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    ::setenv("RINGWAY_DIR", directory_.c_str(), 1);
  }
  ~CommandTest() override {
    ringway("down");
    std::filesystem::remove_all(directory_);
  }

  static Outcome ringway(const std::string& arguments) {
    Outcome outcome;
    const std::string line = std::string(RINGWAY_PATH) + " " + arguments + " 2>&1";
    FILE* pipe = ::popen(line.c_str(), "r");
    if (pipe == nullptr) return outcome;
    for (int c = ::fgetc(pipe); c != EOF; c = ::fgetc(pipe)) {
      outcome.output += static_cast<char>(c);
    }
    const int status = ::pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
  }

  std::string directory_;
};

TEST_F(CommandTest, Help_EveryCommandHasOne) {
  for (const char* command :
       {"",        "run",     "up",         "down",       "status",    "net",   "net list",
        "net add", "net del", "net attach", "net detach", "net ports", "ss",    "ping",
        "gen",     "sink",    "dump",       "options",    "doctor",    "bench", "bench packet"}) {
    const auto outcome = ringway(std::string(command) + " --help");
    EXPECT_EQ(outcome.status, 0) << command;
    EXPECT_GT(outcome.output.size(), 40U) << command;
  }
}

TEST_F(CommandTest, WrongArguments_ExitWithTwo) {
  for (const char* wrong : {"",
                            "fly",
                            "run --fast -- true",
                            "run",
                            "run --spin -1 -- true",
                            "run --network a/b -- true",
                            "run --host= -- true",
                            "run --only tcp:x -- true",
                            "status now",
                            "net",
                            "net add",
                            "net add x --subnet 10.0.0.0/99",
                            "ss --port 1",
                            "ping",
                            "ping x -c 0",
                            "gen",
                            "gen loop --rate fast",
                            "gen loop --size 12",
                            "gen loop --burst 0",
                            "gen loop --src 10.0.0.1 --dst fd00::1",
                            "sink",
                            "sink loop --duration long",
                            "dump port port",
                            "dump -s 3",
                            "dump --connection 127.0.0.1:1",
                            "bench packet nosuch",
                            "bench packet --pairs"}) {
    const auto outcome = ringway(wrong);
    EXPECT_EQ(outcome.status, 2) << wrong << "\n" << outcome.output;
    EXPECT_EQ(outcome.lines(), 1U) << wrong << "\n" << outcome.output;
    EXPECT_EQ(outcome.output.find("ringway"), 0U) << outcome.output;
  }
}

TEST_F(CommandTest, UnknownCommand_IsNamedWithThoseThereAre) {
  const auto outcome = ringway("fly");
  EXPECT_NE(outcome.output.find("'fly'"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("doctor"), std::string::npos) << outcome.output;
  EXPECT_EQ(ringway("--version").output.find("ringway "), 0U);
}

TEST_F(CommandTest, UpStatusDown_TellTheTruth) {
  EXPECT_EQ(ringway("status").status, 3);
  EXPECT_FALSE(nlohmann::json::parse(ringway("status --json").output).at("running").get<bool>());
  EXPECT_EQ(ringway("up").status, 0);
  EXPECT_EQ(ringway("up").status, 0);
  const auto status = ringway("status --json");
  EXPECT_EQ(status.status, 0);
  const auto told = nlohmann::json::parse(status.output);
  EXPECT_TRUE(told.at("running").get<bool>());
  EXPECT_TRUE(told.at("stays").get<bool>());
  EXPECT_EQ(told.at("directory").get<std::string>(), directory_);
  EXPECT_EQ(ringway("down").status, 0);
  EXPECT_EQ(ringway("status").status, 3);
  EXPECT_EQ(ringway("down").status, 0);
}

TEST_F(CommandTest, Net_AddListDel) {
  EXPECT_EQ(ringway("net list --json").output, "[]\n");
  EXPECT_EQ(ringway("net add lab --subnet 10.9.0.0/24").status, 0);
  const auto again = ringway("net add lab");
  EXPECT_EQ(again.status, 1);
  EXPECT_EQ(again.lines(), 1U);
  const auto list = nlohmann::json::parse(ringway("net list --json").output);
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].at("ipv4").get<std::string>(), "10.9.0.0/24");
  EXPECT_EQ(ringway("net del lab").status, 0);
  EXPECT_EQ(ringway("net del lab").status, 1);
}

TEST_F(CommandTest, Ss_UnknownNetwork_IsRefused) {
  EXPECT_EQ(ringway("ss --json").output, "[]\n");
  EXPECT_EQ(ringway("up").status, 0);
  EXPECT_EQ(ringway("ss --json").output, "[]\n");
  EXPECT_EQ(ringway("ss --network nowhere").status, 1);
}

TEST_F(CommandTest, Ping_NoSuchHost_IsRefused) {
  for (const char* target : {"nowhere", "192.0.2.1"}) {
    const auto outcome = ringway(std::string("ping ") + target);
    EXPECT_EQ(outcome.status, 1);
    EXPECT_EQ(outcome.lines(), 1U) << outcome.output;
  }
  EXPECT_NE(ringway("ping ringway").output.find("no program"), std::string::npos);
}

TEST_F(CommandTest, Run_ProgramThatCannotBe_SaysWhyInOneLine) {
  const auto missing = ringway("run -- no-such-program");
  EXPECT_EQ(missing.status, 127);
  EXPECT_EQ(missing.lines(), 1U);
  const auto fixed = ringway("run -- /sbin/ldconfig");  // static in Debian
  EXPECT_EQ(fixed.status, 1);
  EXPECT_NE(fixed.output.find("statically linked"), std::string::npos);
}

TEST_F(CommandTest, Run_PassesArgumentsStatusAndEnvironment) {
  const auto outcome = ringway(
      "run --network lab --except :53 -- sh -c 'echo $RINGWAY_NETWORK $RINGWAY_EXCEPT \"$@\"; "
      "exit 7' x -- --help");
  EXPECT_EQ(outcome.output, "lab :53 -- --help\n");
  EXPECT_EQ(outcome.status, 7);
}

TEST_F(CommandTest, Dump_WithNothingToSee_SaysSoInOneLine) {
  for (const char* arguments : {"dump", "dump --program nobody"}) {
    const auto outcome = ringway(arguments);
    EXPECT_EQ(outcome.status, 1);
    EXPECT_EQ(outcome.lines(), 1U) << outcome.output;
  }
}

TEST_F(CommandTest, Doctor_EveryFindingHasAStateAndWhatFailsHasAFix) {
  const auto outcome = ringway("doctor --json");
  const auto list = nlohmann::json::parse(outcome.output);
  EXPECT_GT(list.size(), 10U);
  for (const auto& check : list) {
    EXPECT_FALSE(check.at("state").get<std::string>().empty());
    const bool good = check.at("state") == "good";
    EXPECT_EQ(good, check.at("fix").get<std::string>().empty()) << check.dump();
  }
}

TEST_F(CommandTest, Options_TheDocumentIsWhatTheTableSays) {
  std::ifstream file(std::string(RINGWAY_SOURCE) + "/docs/options.md");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(ringway("options --markdown").output, text)
      << "run: ringway options --markdown > docs/options.md";
}

TEST_F(CommandTest, RuntimeDirectoryOpenToOthers_IsRefusedInOneLine) {
  std::filesystem::permissions(directory_, std::filesystem::perms::all);
  const auto outcome = ringway("up");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.lines(), 1U);
  EXPECT_NE(outcome.output.find("chmod 700"), std::string::npos);
  std::filesystem::permissions(directory_, std::filesystem::perms::owner_all);
}

}  // namespace
}  // namespace ringway::cli
