#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"
#include "control/proto/message.h"

namespace ringway::control::proto {

/// What came in one datagram. Nothing but the head has been looked at.
struct Received {
  alignas(8) std::array<std::byte, kMaxMessageBytes> bytes;
  std::size_t size = 0;  // 0: the other side hung up
  std::array<base::UniqueFd, kMaxFds> fds;
  std::size_t fd_count = 0;

  const Head& head() const { return *reinterpret_cast<const Head*>(bytes.data()); }
  /// The message as a T; only after check() accepted it as that type.
  template <typename T>
  T as() const {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMaxMessageBytes);
    T copy;
    std::memcpy(static_cast<void*>(&copy), bytes.data(), sizeof copy);
    return copy;
  }
};

/// Receives one message without blocking; fds are close-on-exec.
/// Errors: os_errno EAGAIN if nothing is there; kCorrupt if it is too long, has too many fds or a
/// wrong head.
base::Result<Received> receive(int socket);

/// Sends without blocking and without SIGPIPE. os_errno EAGAIN: the receiver is slow.
base::Result<void> send_bytes(int socket, std::span<const std::byte> message,
                              std::span<const int> fds);

/// Fills in the head and sends.
template <typename T>
base::Result<void> send(int socket, T message, std::uint32_t tag, std::span<const int> fds = {}) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMaxMessageBytes);
  message.head = Head{kMagic, kVersion, T::kType, sizeof(T), tag};
  return send_bytes(socket, std::as_bytes(std::span(&message, 1)), fds);
}

/// Size and number of fds that a type has; size 0 for a number that is no type.
struct Shape {
  std::size_t bytes = 0;
  std::size_t fds = 0;
};
Shape shape_of(Type type);

/// Accepts a message whose size and number of fds are those of its type.
base::Result<void> check(const Received& message);

}  // namespace ringway::control::proto
