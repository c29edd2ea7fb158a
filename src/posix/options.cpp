#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>

#include "posix/context.h"
#include "posix/next.h"
#include "posix/stack_socket.h"

namespace ringway::posix {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMicrosecond = 1'000;

/// SO_RCVTIMEO and SO_SNDTIMEO: only the caller's sleep knows them, so they live here.
std::atomic<std::int64_t>* timeout_of(Description& d, int level, int name) {
  if (level != SOL_SOCKET) return nullptr;
  if (name == SO_RCVTIMEO) return &d.receive_timeout_ns;
  if (name == SO_SNDTIMEO) return &d.send_timeout_ns;
  return nullptr;
}

int set_timeout(std::atomic<std::int64_t>& to, const void* value, socklen_t length) {
  timeval time{};
  if (value == nullptr) return -EFAULT;
  if (length < sizeof time) return -EINVAL;
  std::memcpy(&time, value, sizeof time);
  if (time.tv_usec < 0 || time.tv_usec >= 1'000'000) return -EDOM;
  // Linux: a negative time is "do not wait at all", which one nanosecond comes close to.
  const std::int64_t ns = time.tv_sec < 0 ? 1 : time.tv_sec * kSecond + time.tv_usec * kMicrosecond;
  to.store(ns, std::memory_order_relaxed);
  return 0;
}

int answer(const void* from, std::size_t size, void* value, socklen_t* length) {
  if (value == nullptr || length == nullptr) return -EFAULT;
  const auto n = std::min<std::size_t>(*length, size);
  std::memcpy(value, from, n);
  *length = static_cast<socklen_t>(n);
  return 0;
}

/// Groups, their interfaces and sources: the kernel's multicast, until the stacks have their own.
bool is_multicast(int level, int name) {
  if (level == IPPROTO_IP) return name >= IP_MULTICAST_IF && name <= IP_DROP_SOURCE_MEMBERSHIP;
  return level == IPPROTO_IPV6 && name >= IPV6_MULTICAST_IF && name <= IPV6_LEAVE_GROUP;
}

void remember(Description& d, int level, int name, const void* value, socklen_t length) {
  if (d.has(Description::kActive)) return;
  OptionLog* log = d.log.load(std::memory_order_acquire);
  if (log == nullptr) {
    auto fresh = std::make_unique<OptionLog>();
    if (d.log.compare_exchange_strong(log, fresh.get())) log = fresh.release();
  }
  log->note(level, name, value, length);
}

}  // namespace

int set_option(int fd, Description& d, int level, int name, const void* value, socklen_t length) {
  int outcome = 0;
  if (auto* timeout = timeout_of(d, level, name)) {
    outcome = set_timeout(*timeout, value, length);
  } else {
    outcome = network()->set_option(d.id(), level, name, value, length);
  }
  if (outcome == 0 && value != nullptr) remember(d, level, name, value, length);
  const bool gives_way = outcome == -ENOPROTOOPT && !d.is_stream() &&
                         !d.has(Description::kActive) && is_multicast(level, name);
  if (!gives_way) return outcome;
  const int demoted = demote(fd, d);
  if (demoted < 0) return demoted;
  return libc::setsockopt(fd, level, name, value, length) < 0 ? -errno : 0;
}

int get_option(Description& d, int level, int name, void* value, socklen_t* length) {
  if (auto* timeout = timeout_of(d, level, name)) {
    const std::int64_t ns = timeout->load(std::memory_order_relaxed);
    const timeval time{ns / kSecond, ns % kSecond / kMicrosecond};
    return answer(&time, sizeof time, value, length);
  }
  if (level == SOL_SOCKET) {
    int known = 0;
    switch (name) {
      case SO_TYPE:
        known = d.type;
        return answer(&known, sizeof known, value, length);
      case SO_DOMAIN:
        known = d.domain;
        return answer(&known, sizeof known, value, length);
      case SO_PROTOCOL:
        known = d.is_stream() ? IPPROTO_TCP : IPPROTO_UDP;
        return answer(&known, sizeof known, value, length);
      default:
        break;
    }
  }
  return network()->get_option(d.id(), level, name, value, length);
}

}  // namespace ringway::posix
