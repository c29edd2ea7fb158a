#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace ringway {

/// One of the build's programs with its standard output; ended with the object.
class Program {
 public:
  explicit Program(std::vector<std::string> words) {
    words[0] = std::string(RINGWAY_PROGRAMS) + "/" + words[0];
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe(ends.data()), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, words[0].c_str(), &actions, nullptr, arguments.data(), environ),
              0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_.reset(fdopen(ends[0], "r"));
  }
  ~Program() {
    if (pid_ > 0) {
      kill(pid_, SIGTERM);
      finish();
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::string line() {
    std::array<char, 1024> text{};
    return fgets(text.data(), text.size(), output_.get()) != nullptr ? text.data() : "";
  }
  int finish() {
    int status = -1;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return status;
  }

 private:
  struct Close {
    void operator()(FILE* file) const { fclose(file); }
  };
  pid_t pid_ = 0;
  std::unique_ptr<FILE, Close> output_;
};

}  // namespace ringway
