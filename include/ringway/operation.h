#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#define RINGWAY_API __attribute__((visibility("default")))

/// What goes into a channel and what comes out of it (channel.h).
namespace ringway {

/// CLOCK_MONOTONIC: the time of deadlines and timers.
using Clock = std::chrono::steady_clock;
/// A deadline that does not come.
inline constexpr Clock::time_point kNever = Clock::time_point::max();

/// A listener, connection or timer of one channel. Not a file: the number means nothing to the
/// kernel. A handle whose object is gone is found out by its generation (EBADF); it never names
/// another object.
struct Handle {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;

  bool valid() const { return index != 0; }
  bool operator==(const Handle&) const = default;
};

/// An IPv6 address, or an IPv4 one as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), with a port in host
/// order.
struct RINGWAY_API Endpoint {
  std::array<std::uint8_t, 16> address{};
  std::uint16_t port = 0;

  static constexpr Endpoint v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d,
                               std::uint16_t port) {
    return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, port};
  }
  static constexpr Endpoint any_v4(std::uint16_t port) { return v4(0, 0, 0, 0, port); }
  static constexpr Endpoint loopback_v4(std::uint16_t port) { return v4(127, 0, 0, 1, port); }
  /// IPv6, and IPv4 as well.
  static constexpr Endpoint any(std::uint16_t port) { return {{}, port}; }
  /// "10.0.0.1:80", "[fd00::1]:80". Nothing if the text is neither. No names are looked up.
  static std::optional<Endpoint> parse(std::string_view text);
  std::string text() const;

  bool operator==(const Endpoint&) const = default;
};

enum class Operation : std::uint8_t {
  kListen,     ///< Completion::handle is the new listener
  kAccept,     ///< Completion::handle is the new connection
  kConnect,    ///< Completion::handle is the new connection
  kRead,       ///< `data` and `length` say what was written into the user's buffer; 0: the end
  kLend,       ///< `data` and `length` are lent until release(); 0: the end, nothing was lent
  kRelease,    ///< completes only if it fails
  kWrite,      ///< `length` bytes were taken: the user's buffer is free again
  kHalfClose,  ///< all that was written before is taken, and the end of the stream behind it
  kClose,      ///< the handle is gone
  kTimer,      ///< Completion::handle was the timer
};

/// How a submission is meant.
enum Mode : std::uint8_t {
  kOnce = 0,
  /// Stays in force: a completion for every connection (accept) or arrival of bytes (read, lend),
  /// marked kMore, until an error, the end of the stream or close() ends it.
  kStanding = 1 << 0,
  /// Completes only if it fails (write, half_close, close).
  kQuiet = 1 << 1,
};

/// One thing that happened. 40 bytes.
struct Completion {
  static constexpr std::uint8_t kMore = 1;  ///< the submission stands: there will be others

  std::uint64_t user_data = 0;  ///< as submitted
  Handle handle;                ///< what it is about
  Operation operation = Operation::kTimer;
  std::uint8_t flags = 0;
  std::int32_t error = 0;     ///< 0 or errno
  std::uint32_t length = 0;   ///< bytes read, lent or written
  std::uint32_t loan = 0;     ///< for release(); 0: nothing is lent
  std::byte* data = nullptr;  ///< read: the user's buffer; lend: the bytes where they arrived

  bool more() const { return (flags & kMore) != 0; }
};

/// One thing to do, as it waits in a channel. Made by the calls of Channel.
struct Submission {
  std::uint64_t user_data;
  Handle handle;
  Operation operation;
  std::uint8_t mode;
  std::uint32_t length;  ///< of the buffer; listen: backlog; release: the loan
  std::byte* data;
  Endpoint endpoint;
};

/// What waits to be executed: a ring that one thread fills and empties.
struct SubmissionQueue {
  std::unique_ptr<Submission[]> slots;
  std::uint32_t mask = 0;
  std::uint32_t head = 0;  ///< executed so far
  std::uint32_t tail = 0;  ///< submitted so far

  std::uint32_t size() const { return tail - head; }
  /// nullptr when it is full.
  Submission* next() { return tail - head <= mask ? &slots[tail & mask] : nullptr; }
};

}  // namespace ringway
