#include "netd/daemon/wire.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include "base/sys.h"

namespace ringway::netd {

namespace sys = base::sys;

base::Result<void> receive_request(int socket, Request& request, base::UniqueFd& memfd) {
  iovec part{&request, sizeof request};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = sys::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return base::fail_errno("a request cannot be read");
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int passed = -1;
    std::memcpy(&passed, CMSG_DATA(c), sizeof passed);
    memfd.reset(passed);
  }
  // Whole, or from somebody who speaks something else.
  if (n != sizeof request || request.magic != kMagic ||
      (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return base::fail(base::ErrorCode::kCorrupt, "no request");
  }
  request.device.back() = '\0';
  return {};
}

bool send_answer(int socket, const Answer& answer, std::span<const base::UniqueFd> fds) {
  Answer copy = answer;
  iovec part{&copy, sizeof copy};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kMaxSockets * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    for (std::size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      std::memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof fd);
    }
  }
  return sys::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof copy;
}

std::uint64_t start_time_of(std::uint32_t pid) {
  const base::UniqueFd file(
      sys::openat(AT_FDCWD, fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> text{};
  const ssize_t n = file ? sys::read(file.get(), text.data(), text.size()) : -1;
  if (n <= 0) return 0;
  std::string_view line(text.data(), static_cast<std::size_t>(n));
  // The name may hold anything: fields are counted from behind it. The start time is the 22nd.
  const auto close = line.rfind(')');
  if (close == std::string_view::npos) return 0;
  line.remove_prefix(close + 1);
  for (int field = 2; field < 22; ++field) {
    const auto space = line.find(' ');
    if (space == std::string_view::npos) return 0;
    line.remove_prefix(space + 1);
  }
  std::uint64_t value = 0;
  std::from_chars(line.data(), line.data() + line.size(), value);
  return value;
}

}  // namespace ringway::netd
