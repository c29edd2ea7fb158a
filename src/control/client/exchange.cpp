#include "control/client/exchange.h"

#include <fmt/format.h>
#include <poll.h>
#include <time.h>

#include <algorithm>

#include "base/sys.h"
#include "steering/table.h"

namespace ringway::control {

using base::Error;
using base::ErrorCode;
using base::Result;

base::Instant monotonic_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return {now.tv_sec * 1'000'000'000 + now.tv_nsec};
}

Result<void> wait_ready(int fd, short events, base::Instant deadline) {
  for (;;) {
    const auto left = std::max<std::int64_t>(0, (deadline - monotonic_now()).ns);
    timespec timeout{left / 1'000'000'000, left % 1'000'000'000};
    pollfd waited{fd, events, 0};
    const int ready = base::sys::ppoll(&waited, 1, &timeout);
    if (ready > 0) return {};
    if (ready == 0) {
      return base::fail(ErrorCode::kTimeout, "ringwayd did not answer in time: is it stopped?");
    }
    if (errno != EINTR) return base::fail_errno("cannot wait for ringwayd");
  }
}

Error error_of(const proto::Failure& failure) {
  const bool known = failure.code <= static_cast<std::uint32_t>(ErrorCode::kSystem);
  return {known ? static_cast<ErrorCode>(failure.code) : ErrorCode::kSystem, failure.os_errno,
          std::string(steering::text_of(failure.text))};
}

bool hung_up(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.os_errno == EPIPE ||
         error.os_errno == ECONNRESET || error.os_errno == ENOTCONN || error.os_errno == EBADF;
}

Result<proto::Received> receive_next(int socket, base::Instant deadline) {
  for (;;) {
    auto message = proto::receive(socket);
    if (message) {
      if (message->size == 0) return base::fail(ErrorCode::kUnavailable, "ringwayd went away");
      if (auto checked = proto::check(*message); !checked) {
        return tl::unexpected(std::move(checked).error());
      }
      return message;
    }
    if (message.error().os_errno == EINTR) continue;
    if (message.error().os_errno != EAGAIN) return message;
    if (auto ready = wait_ready(socket, POLLIN, deadline); !ready) {
      return tl::unexpected(std::move(ready).error());
    }
  }
}

Result<proto::Received> expect_reply(proto::Received message, proto::Type expected) {
  const auto type = message.head().type;
  if (type == proto::Type::kFailure) {
    return tl::unexpected(error_of(message.as<proto::Failure>()));
  }
  if (type != expected) {
    return base::fail(ErrorCode::kCorrupt, fmt::format("ringwayd answered with message type {}",
                                                       static_cast<unsigned>(type)));
  }
  return message;
}

}  // namespace ringway::control
