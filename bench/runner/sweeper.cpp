#include "bench/runner/sweeper.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

namespace ringway::bench {
namespace {

int notes_fd = -1;

/// One note is one line: sign, kind, key, tab, content. Below PIPE_BUF, so it arrives whole.
void note(char sign, char kind, const std::string& key, const std::string& content = {}) {
  if (notes_fd < 0) return;
  const std::string line = std::string{sign, kind} + key + "\t" + content + "\n";
  [[maybe_unused]] const ssize_t written = write(notes_fd, line.data(), line.size());
}

void undo(char kind, const std::string& key, const std::string& content) {
  std::error_code ignored;
  if (kind == 'g') kill(-std::atoi(key.c_str()), SIGKILL);
  if (kind == 'd') std::filesystem::remove_all(key, ignored);
  if (kind == 'f') std::ofstream(key) << content;
}

/// Reads notes until the writer is gone, then undoes what is left; processes first, as they use the
/// folders.
[[noreturn]] void sweep(int fd) {
  std::FILE* notes = fdopen(fd, "r");
  std::map<std::string, std::string, std::greater<>> pending;
  char line[4096];
  while (notes != nullptr && std::fgets(line, sizeof line, notes) != nullptr) {
    std::string text(line);
    if (text.size() < 3 || text.back() != '\n') continue;
    text.pop_back();
    const std::size_t tab = text.find('\t');
    if (tab == std::string::npos) continue;
    const std::string key = text.substr(1, tab - 1);
    if (text[0] == '+') {
      pending[key] = text.substr(tab + 1);
    } else {
      pending.erase(key);
    }
  }
  for (const auto& [key, content] : pending) undo(key[0], key.substr(1), content);
  _exit(0);
}

}  // namespace

void start_sweeper() {
  int ends[2];
  if (notes_fd >= 0 || pipe2(ends, O_CLOEXEC) != 0) return;
  const pid_t pid = fork();
  if (pid == 0) {
    // A Ctrl-C goes to the whole foreground group; this one has to outlive it.
    setsid();
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, SIG_IGN);
    close(ends[1]);
    sweep(ends[0]);
  }
  close(ends[0]);
  notes_fd = ends[1];
}

void sweep_group(pid_t group) { note('+', 'g', std::to_string(group)); }
void forget_group(pid_t group) { note('-', 'g', std::to_string(group)); }
void sweep_folder(const std::string& path) { note('+', 'd', path); }
void forget_folder(const std::string& path) { note('-', 'd', path); }
void sweep_file(const std::string& path, const std::string& content) {
  note('+', 'f', path, content);
}
void forget_file(const std::string& path) { note('-', 'f', path); }

}  // namespace ringway::bench
