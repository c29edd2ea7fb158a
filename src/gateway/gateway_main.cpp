#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "base/sys.h"
#include "gateway/gateway.h"

namespace {

using ringway::gateway::Gateway;
using ringway::gateway::Options;
namespace sys = ringway::base::sys;

/// Opens and runs. `tell` gets how that went, and at the end what was counted.
template <typename Tell>
int serve(const Options& options, Tell&& tell) {
  auto gateway = Gateway::open(options);
  if (!gateway) {
    tell(false, gateway.error().what);
    return 1;
  }
  tell(true, (*gateway)->describe());
  (*gateway)->run();
  tell(true, (*gateway)->describe_counters());
  return 0;
}

/// In the background: the caller's terminal, directory and session are left alone.
[[noreturn]] void serve_detached(const Options& options, int report) {
  ::setsid();
  std::signal(SIGHUP, SIG_IGN);
  static_cast<void>(!::chdir("/"));
  const int null = sys::openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
  for (int standard = 0; standard < 3; ++standard) sys::dup2(null, standard);
  bool told = false;
  std::_Exit(serve(options, [&](bool ready, const std::string& text) {
    if (std::exchange(told, true)) return;
    const std::string line = (ready ? "+" : "-") + text;
    static_cast<void>(sys::write(report, line.data(), line.size()));
    sys::close(report);
  }));
}

int start_detached(const Options& options) {
  int ends[2] = {-1, -1};
  if (sys::pipe2(ends, O_CLOEXEC) != 0) {
    fmt::print(stderr, "ringway-gateway: no pipe could be made\n");
    return 1;
  }
  const pid_t child = ::fork();
  if (child == 0) serve_detached(options, ends[1]);
  sys::close(ends[1]);
  std::array<char, 512> word{};
  const auto n = child < 0 ? -1 : sys::read(ends[0], word.data(), word.size());
  sys::close(ends[0]);
  if (n < 1 || word[0] != '+') {
    const std::string text(word.data() + 1, n > 1 ? static_cast<std::size_t>(n) - 1 : 0);
    fmt::print(stderr, "ringway-gateway: {}\n", text.empty() ? "it did not start" : text);
    return 1;
  }
  fmt::print("{}\n", std::string_view(word.data() + 1, static_cast<std::size_t>(n) - 1));
  return 0;
}

/// What the gateway that runs already is asked; nothing if it is to be started.
std::optional<int> ask_running(const Options& options) {
  using ringway::base::ErrorCode;
  std::string text;
  if (options.list) text = "list";
  if (!options.detach.empty()) text = "detach " + options.detach;
  const bool question = !text.empty();
  if (!question && options.port.empty()) return std::nullopt;
  if (!question) text = "attach " + options.port;
  const auto said = ringway::gateway::request(options.network, text);
  if (!said && said.error().code == ErrorCode::kNotFound && !question) return std::nullopt;
  if (!said) {
    fmt::print(stderr, "ringway-gateway: {}\n", said.error().what);
    return 1;
  }
  fmt::print("{}{}", *said, options.list ? "" : "\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  auto options = ringway::gateway::parse_options(
      std::span<const char* const>(argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)));
  if (!options) {
    fmt::print(stderr, "ringway-gateway: {}\n", options.error().what);
    return 2;
  }
  if (options->help) {
    fmt::print("{}", ringway::gateway::kUsage);
    return 0;
  }
  std::signal(SIGPIPE, SIG_IGN);
  if (const auto asked = ask_running(*options)) return *asked;
  if (!options->foreground) return start_detached(*options);
  return serve(*options, [](bool ready, const std::string& text) {
    fmt::print(ready ? stdout : stderr, "{}{}\n", ready ? "" : "ringway-gateway: ", text);
    std::fflush(stdout);
  });
}
