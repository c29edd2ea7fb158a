#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <memory>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringway::driver {

/// A network namespace of its own for this thread, left again at the end.
class OwnNamespace {
 public:
  static base::Result<std::unique_ptr<OwnNamespace>> enter() {
    auto own = std::make_unique<OwnNamespace>();
    own->before_.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!own->before_ || ::unshare(CLONE_NEWNET) != 0) {
      own->before_.reset();
      return base::fail(base::ErrorCode::kPermission,
                        "needs a network namespace of its own: run it as root");
    }
    return own;
  }
  OwnNamespace() = default;
  OwnNamespace(const OwnNamespace&) = delete;
  OwnNamespace& operator=(const OwnNamespace&) = delete;
  ~OwnNamespace() {
    if (before_) {
      EXPECT_EQ(::setns(before_.get(), CLONE_NEWNET), 0);
    }
  }

 private:
  base::UniqueFd before_;
};

}  // namespace ringway::driver
