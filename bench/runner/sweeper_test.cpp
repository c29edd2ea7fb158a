#include "bench/runner/sweeper.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "bench/runner/machine.h"
#include "bench/runner/process.h"

namespace ringway::bench {
namespace {

/// What a runner does up to its sudden end; the folder's path goes to the test.
[[noreturn]] void run_and_die(int report_fd) {
  start_sweeper();
  const auto folder = TemporaryFolder::make();
  auto server = Process::start({{"/bin/sh", "-c", "sleep 1000 & echo $!; echo up; wait"}, -1});
  if (folder && server && server->wait_for_text("up", base::Duration::seconds(60))) {
    const std::string report = folder->path() + "\n" + server->output();
    [[maybe_unused]] const ssize_t written = write(report_fd, report.data(), report.size());
  }
  kill(getpid(), SIGKILL);
  _exit(1);
}

bool is_running(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string line;
  if (!std::getline(file, line)) return false;
  const char state = line[line.rfind(')') + 2];
  return state != 'Z' && state != 'X';
}

TEST(Sweeper, RunnerKilled_GrandchildrenAndFoldersGo) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t runner = fork();
  if (runner == 0) run_and_die(ends[1]);
  close(ends[1]);
  ASSERT_EQ(waitpid(runner, nullptr, 0), runner);
  char text[4096] = {};
  ASSERT_GT(read(ends[0], text, sizeof text - 1), 0);
  close(ends[0]);
  std::istringstream lines(text);
  std::string folder;
  std::string grandchild;
  std::getline(lines, folder);
  std::getline(lines, grandchild);
  // Nobody tells when a stranger's clean-up is done; without it these never end.
  while (is_running(grandchild)) sched_yield();
  while (std::filesystem::exists(folder)) sched_yield();
}

}  // namespace
}  // namespace ringway::bench
