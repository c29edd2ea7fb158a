#include "cli/port.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "cli/checks.h"
#include "cli/program.h"
#include "driver/xdp/xdp_device.h"
#include "netd/client/client.h"
#include "port/spec.h"

namespace ringway::cli {

namespace {

/// In a child of this process, which has one thread.
[[noreturn]] void become_netd(const std::string& path, int ready) {
  constexpr int kReady = 3;
  ::setsid();
  if (::fork() != 0) ::_exit(0);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const int safe = ::fcntl(ready, F_DUPFD, 10);
  for (int standard = 0; standard < 3; ++standard) ::dup2(null, standard);
  ::dup2(safe, kReady);
  ::close_range(kReady + 1, ~0U, 0);
  ::unsetenv("LD_PRELOAD");
  ::execl(path.c_str(), path.c_str(), "--idle-end", "--ready-fd", "3", nullptr);
  ::_exit(127);
}

base::Result<void> start_netd() {
  const std::string path = own_directory() + "/ringway-netd";
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return base::fail_errno("cannot make a pipe");
  const base::UniqueFd reader(ends[0]);
  base::UniqueFd writer(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) become_netd(path, writer.get());
  if (child < 0) return base::fail_errno("cannot start ringway-netd");
  ::waitpid(child, nullptr, 0);
  writer.reset();
  pollfd p{reader.get(), POLLIN, 0};
  std::array<char, 256> text{};
  const ssize_t n = ::poll(&p, 1, 5000) == 1 ? ::read(reader.get(), text.data(), text.size()) : 0;
  if (n == 1 && text[0] == '+') return {};
  return base::fail(base::ErrorCode::kUnavailable,
                    n > 0 ? std::string(text.data(), static_cast<std::size_t>(n))
                          : "ringway-netd did not start: " + path);
}

}  // namespace

Check check_xdp() {
  constexpr int kAfXdp = 44;
  const base::UniqueFd socket(::socket(kAfXdp, SOCK_RAW | SOCK_CLOEXEC, 0));
  const int number = errno;
  if (!socket && number != EPERM) {
    return {"ringway-netd", Verdict::kMissing, "this kernel has no AF_XDP sockets",
            "use a kernel with CONFIG_XDP_SOCKETS"};
  }
  const auto running = netd::Client::connect();
  if (running)
    return {"ringway-netd", Verdict::kGood, "ringway-netd shares devices (--port xdp:)", ""};
  if (socket) {
    return {"ringway-netd", Verdict::kGood, "root starts ringway-netd on demand (--port xdp:)", ""};
  }
  return {"ringway-netd", Verdict::kMissing, "no ringway-netd runs: --port xdp: does not work",
          fmt::format("sudo {}/ringway-netd --trust $USER &", own_directory())};
}

base::Result<void> prepare_port(std::string_view text) {
  if (text.empty()) return {};
  const auto spec = port::Spec::parse(text);
  if (!spec) return tl::unexpected(spec.error());
  if (spec->driver != "xdp") return {};
  const auto options = driver::XdpOptions::parse(*spec);
  if (!options) return tl::unexpected(options.error());
  if (const auto facts = driver::look_at_device(options->device); !facts) {
    return tl::unexpected(facts.error());
  }
  const auto running = netd::Client::connect();
  if (running) return {};
  if (::geteuid() != 0) return tl::unexpected(running.error());
  return start_netd();
}

}  // namespace ringway::cli
