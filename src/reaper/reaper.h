#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "driver/link/link_memory.h"
#include "reaper/arguments.h"
#include "socket/sockets.h"
#include "stack/stack.h"

namespace ringway::reaper {

/// Ends the connections of a stack whose last holder is gone, as a kernel does for a process: what
/// was written is still sent, then FIN; a stack that its holder left torn sends resets only.
///
/// Only links to gateways matter: a peer on the machine has seen by the life pipe that the stack is
/// gone. TIME-WAIT and an orphan's FIN-WAIT-2 are waited out as far as kLongest allows: the ports
/// stay taken, and a FIN that comes again is acknowledged and not reset.
class Reaper {
 public:
  static constexpr base::Duration kLongest = base::Duration::seconds(60);

  /// Opens the arena and its links; takes the descriptors over.
  static base::Result<std::unique_ptr<Reaper>> open(const Arguments& arguments);
  /// Closes what is open. Returns when every connection has ended, or after kLongest.
  void run();
  /// One turn of the stack. True if a connection has not ended yet. Run with the stack's lock.
  bool turn(base::Instant now);

 private:
  Reaper(std::unique_ptr<stack::Stack> stack, driver::MailboxMemory mailbox,
         base::UniqueFd doorbell);
  void map_links(const Arguments& arguments, base::Instant now);
  void close_all(base::Instant now);
  void sleep(base::Instant now, base::Instant end);
  base::Instant now() const;

  std::unique_ptr<stack::Stack> stack_;
  socket::Sockets sockets_;
  driver::MailboxMemory mailbox_;
  base::UniqueFd doorbell_;
  struct Life {
    base::UniqueFd fd;  ///< hangs up when the gateway is gone
    std::uint16_t link;
  };
  std::vector<Life> lives_;
};

}  // namespace ringway::reaper
