#include "bench/runner/process.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <csignal>
#include <fstream>
#include <string>

namespace ringway::bench {
namespace {

using base::Duration;

/// Neither gone nor a zombie that init has not yet reaped.
bool is_running(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return false;
  const char state = line[line.rfind(')') + 2];
  return state != 'Z' && state != 'X';
}

constexpr Duration kAmple = Duration::seconds(60);

TEST(Process, ExitStatusAndOutput_ComeBack) {
  auto process = Process::start({{"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}, -1});
  ASSERT_TRUE(process);
  const auto exit = process->wait(kAmple);
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 3);
  EXPECT_EQ(process->output(), "out\n");
  EXPECT_EQ(process->last_words(), "err");
}

TEST(Process, NoSuchProgram_EndsWith127) {
  const auto result = run_to_end({{"/nonexistent/program"}, -1}, kAmple);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().what.find("cannot be started"), std::string::npos);
}

TEST(Process, LongerThanItsLimit_IsKilled) {
  auto process = Process::start({{"/bin/sleep", "1000"}, -1});
  ASSERT_TRUE(process);
  const auto exit = process->wait(Duration::milliseconds(1));
  ASSERT_FALSE(exit);
  EXPECT_EQ(exit.error().code, base::ErrorCode::kTimeout);
  EXPECT_NE(kill(process->group(), 0), 0);
}

TEST(Process, EndOfTheObject_TakesTheWholeGroupAlong) {
  pid_t grandchild = 0;
  {
    auto process = Process::start({{"/bin/sh", "-c", "sleep 1000 & echo $!; echo up; wait"}, -1});
    ASSERT_TRUE(process);
    ASSERT_TRUE(process->wait_for_text("up", kAmple));
    grandchild = std::stoi(process->output());
    EXPECT_EQ(kill(grandchild, 0), 0);
  }
  // Its end follows the signal by an instant that is not ours to bound; without the signal this
  // never ends.
  while (is_running(grandchild)) sched_yield();
}

TEST(Process, EndBeforeTheText_IsNotWaitedFor) {
  auto process = Process::start({{"/bin/sh", "-c", "echo broken >&2"}, -1});
  ASSERT_TRUE(process);
  const auto ready = process->wait_for_text("ready", kAmple);
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, base::ErrorCode::kUnavailable);
  EXPECT_NE(ready.error().what.find("broken"), std::string::npos);
}

}  // namespace
}  // namespace ringway::bench
