#include <fmt/format.h>
#include <pwd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <string_view>

#include "base/sys.h"
#include "netd/daemon/netd.h"

namespace {

using ringway::netd::Netd;
using ringway::netd::Options;

Netd* g_netd = nullptr;

void on_signal(int) { g_netd->stop(); }

constexpr std::string_view kUsage =
    "usage: ringway-netd [--trust USER]... [--rate MBIT] [--idle-end] [--ready-fd N]\n"
    "Gives AF_XDP queues of network devices to programs that have no rights to them; run as root.\n"
    "  --trust USER   this user (name or number) may have a device's own queues (lease=direct): "
    "what\n"
    "                 he sends is not checked\n"
    "  --rate MBIT    no program behind a guard sends more (Mbit/s); not limited by default\n"
    "  --idle-end     end 10 s after the last program has gone\n"
    "  --ready-fd N   write '+' there when ready, or the reason why not\n"
    "It listens at $RINGWAY_NETD, else /run/ringway/netd-NAMESPACE.sock.\n";

bool number_of(std::string_view text, std::uint32_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

bool user_of(const char* text, std::uint32_t& out) {
  if (number_of(text, out)) return true;
  const passwd* found = ::getpwnam(text);
  if (found != nullptr) out = found->pw_uid;
  return found != nullptr;
}

struct Arguments {
  Options options;
  std::uint32_t ready_fd = 0;  ///< 0: none
};

/// The exit status if the program is to end here, else -1.
int parse(int argc, char** argv, Arguments& into) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    std::uint32_t number = 0;
    if (argument == "--idle-end") {
      into.options.stay = false;
    } else if (argument == "--trust" && user_of(value, number)) {
      into.options.trusted.insert(number);
      ++i;
    } else if (argument == "--rate" && number_of(value, into.options.rate_mbit)) {
      ++i;
    } else if (argument == "--ready-fd" && number_of(value, into.ready_fd)) {
      ++i;
    } else if (argument == "--help") {
      fmt::print("{}", kUsage);
      return 0;
    } else {
      fmt::print(stderr, "ringway-netd: '{} {}' is not understood; see ringway-netd --help\n",
                 argument, value);
      return 2;
    }
  }
  return -1;
}

void tell(std::uint32_t ready_fd, std::string_view word) {
  if (ready_fd == 0) return;
  static_cast<void>(
      ringway::base::sys::write(static_cast<int>(ready_fd), word.data(), word.size()));
  ringway::base::sys::close(static_cast<int>(ready_fd));
}

int fail(const Arguments& arguments, const ringway::base::Error& error) {
  fmt::print(stderr, "ringway-netd: {}\n", error.what);
  tell(arguments.ready_fd, error.what);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (const int status = parse(argc, argv, arguments); status >= 0) return status;
  arguments.options.log = [](std::string_view line) {
    fmt::print(stderr, "ringway-netd: {}\n", line);
  };
  auto netd = Netd::open(arguments.options);
  if (!netd) return fail(arguments, netd.error());
  if (auto confined = ringway::netd::confine(); !confined) {
    return fail(arguments, confined.error());
  }
  g_netd = netd->get();
  std::signal(SIGTERM, on_signal);
  std::signal(SIGINT, on_signal);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  tell(arguments.ready_fd, "+");
  (*netd)->run();
  netd->reset();
  return 0;
}
