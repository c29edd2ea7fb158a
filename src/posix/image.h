#pragma once

#include <string_view>
#include <vector>

#include "runtime/handover.h"

/// Stack sockets over exec: what the old program image knows of them goes to the new one in a
/// memfd, whose number stands in the environment.
namespace ringway::posix {

/// Made before execve. The sockets whose fds are not close-on-exec go over; if the exec fails, the
/// destructor puts everything back.
class Departure {
 public:
  /// `path`: the program's file, as found.
  explicit Departure(const char* path);
  ~Departure();
  Departure(const Departure&) = delete;
  Departure& operator=(const Departure&) = delete;

  /// The memfd; -1: there is nothing to take up.
  int fd() const { return fd_; }

 private:
  void let_over(bool on);

  std::vector<runtime::StackHandover> handed_;
  int fd_ = -1;
  bool departing_ = false;
};

/// In the new image, before main: takes up what the one before has left.
void arrive();

}  // namespace ringway::posix
