#include <fmt/format.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "base/sys.h"
#include "control/daemon/daemon.h"

namespace {

using ringway::control::daemon::Daemon;
using ringway::control::daemon::DaemonOptions;

Daemon* g_daemon = nullptr;

void on_signal(int) { g_daemon->stop(); }

constexpr std::string_view kUsage =
    "usage: ringwayd [--directory DIR] [--stay] [--ready-fd N]\n"
    "The control daemon of Ringway; programs start it by themselves, `ringway up` by hand.\n"
    "  --directory DIR  runtime directory (default: $RINGWAY_DIR, $XDG_RUNTIME_DIR/ringway,\n"
    "                   /tmp/ringway-UID)\n"
    "  --stay           do not end 10 s after the last program has gone\n"
    "  --ready-fd N     write '+' there when ready, or the reason why not\n";

struct Arguments {
  DaemonOptions options;
  int ready_fd = -1;
};

/// The exit status if the program is to end here, else -1.
int parse(int argc, char** argv, Arguments& into) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--stay") {
      into.options.stay = true;
    } else if (argument == "--directory" && has_value) {
      into.options.directory = argv[++i];
    } else if (argument == "--ready-fd" && has_value) {
      const char* text = argv[++i];
      const auto [end, error] = std::from_chars(text, text + std::strlen(text), into.ready_fd);
      if (error == std::errc{} && *end == '\0' && into.ready_fd >= 0) continue;
      fmt::print(stderr, "ringwayd: --ready-fd takes a descriptor number, not '{}'\n", text);
      return 2;
    } else if (argument == "--help") {
      fmt::print("{}", kUsage);
      return 0;
    } else {
      fmt::print(stderr, "ringwayd: '{}' is not understood here; see ringwayd --help\n", argument);
      return 2;
    }
  }
  return -1;
}

std::string reaper_path() {
  if (const char* set = std::getenv("RINGWAY_REAPER"); set != nullptr && *set != '\0') return set;
  std::array<char, 4096> link{};
  const auto length = ::readlink("/proc/self/exe", link.data(), link.size() - 1);
  std::string path(link.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  return path.substr(0, path.rfind('/') + 1) + "ringway-reaper";
}

/// Two files of 1 MiB at most. spdlog throws; nothing beyond this function sees it.
std::shared_ptr<spdlog::logger> open_log(const std::string& directory) {
  namespace proto = ringway::control::proto;
  try {
    const auto path = proto::runtime_directory(directory) + "/" + proto::kLogName;
    auto sink = std::make_shared<spdlog::sinks::rotating_file_sink_st>(path, 1U << 20, 1);
    auto log = std::make_shared<spdlog::logger>("ringwayd", std::move(sink));
    log->flush_on(spdlog::level::info);
    log->set_pattern("%Y-%m-%d %H:%M:%S.%e %P %l %v");
    return log;
  } catch (const spdlog::spdlog_ex&) {
    return nullptr;
  }
}

void tell(int ready_fd, std::string_view word) {
  if (ready_fd < 0) return;
  (void)!ringway::base::sys::write(ready_fd, word.data(), word.size());
  ringway::base::sys::close(ready_fd);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (const int status = parse(argc, argv, arguments); status >= 0) return status;
  auto& options = arguments.options;
  namespace proto = ringway::control::proto;
  // The directory is judged before a log is written into it.
  const auto path = proto::runtime_directory(options.directory);
  if (auto sane = proto::open_runtime_directory(path); sane) options.log = open_log(path);
  options.reaper_path = reaper_path();
  if (arguments.ready_fd >= 0) options.lock_wait = ringway::base::Duration::seconds(2);
  auto daemon = Daemon::open(options);
  if (!daemon) {
    fmt::print(stderr, "ringwayd: {}\n", daemon.error().what);
    tell(arguments.ready_fd, daemon.error().what);
    return 1;
  }
  g_daemon = daemon->get();
  std::signal(SIGTERM, on_signal);
  std::signal(SIGINT, on_signal);
  std::signal(SIGHUP, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  if (options.log) options.log->info("ready in {}", path);
  tell(arguments.ready_fd, "+");
  (*daemon)->run();
  if (options.log) options.log->info("ended");
  return 0;
}
