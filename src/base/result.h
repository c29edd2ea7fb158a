#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace ringway::base {

/// What kind of failure an Error is; the text says the rest.
enum class ErrorCode {
  kInvalidArgument,
  kNotFound,
  kExists,
  kPermission,
  kUnavailable,
  kExhausted,
  kCorrupt,
  kTimeout,
  kSystem,
};

/// A failure that a person can act on.
/// `os_errno` is 0 when no system call failed; `what` says what happened and what to do next, in
/// one line.
struct Error {
  ErrorCode code = ErrorCode::kSystem;
  int os_errno = 0;
  std::string what;
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string what) {
  return tl::unexpected<Error>(Error{code, 0, std::move(what)});
}

/// Takes errno as it is now and appends its text.
inline tl::unexpected<Error> fail_errno(std::string what) {
  const int saved = errno;
  return tl::unexpected<Error>(
      Error{ErrorCode::kSystem, saved, std::move(what) + ": " + std::strerror(saved)});
}

}  // namespace ringway::base
