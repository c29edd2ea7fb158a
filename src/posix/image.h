#pragma once

#include <cstdint>
#include <vector>

#include "posix/fd_table.h"
#include "runtime/handover.h"

/// Stack sockets over exec: what the old program image knows of them goes to the new one in a
/// memfd, whose number stands in the environment.
namespace ringway::posix {

/// A stack socket as another program image or process can take it up.
struct ImageSocket {
  runtime::SocketId id;  ///< `arena` counts the stacks that go along
  std::uint32_t flags = 0;
  std::int32_t domain = 0;
  std::int32_t type = 0;
  std::int64_t receive_timeout_ns = 0;
  std::int64_t send_timeout_ns = 0;
};

ImageSocket describe(const Description& d);
/// A description with one reference, not yet in the table. 0: there are too many.
std::uint32_t make_description(const ImageSocket& socket);

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
