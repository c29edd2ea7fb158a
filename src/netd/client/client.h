#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "driver/xdp/xdp_device.h"
#include "netd/client/proto.h"

namespace ringway::netd {

/// Frames to be shared with a device: a sealed memfd and the part of it that they take.
struct Frames {
  int memfd = -1;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint32_t chunk = 0;
};

/// What a program got.
struct Lease {
  driver::XdpQueues queues;
  std::uint32_t index = 0;  ///< of the interface
  bool native = false;
  bool guarded = false;
  std::uint32_t rate_mbit = 0;  ///< of a guarded lease; 0: not limited
};

/// "direct lease" or "guarded lease", for a person.
std::string describe(const Lease& lease);

/// A program's connection to ringway-netd. The device is leased as long as some process has it
/// open. Calls block for the milliseconds that the daemon takes. Not thread-safe.
class Client {
 public:
  /// Errors: kUnavailable if no daemon runs, with the command that starts one.
  static base::Result<Client> connect();

  base::Result<Lease> open(const driver::XdpOptions& options, const Frames& frames);
  /// At a successor: this program goes on with the device.
  base::Result<void> join(const std::string& device);
  base::Result<void> lease(std::uint8_t protocol, const base::Endpoint& at);
  base::Result<void> drop(std::uint8_t protocol, const base::Endpoint& at);
  struct Block {
    std::uint16_t first = 0;
    std::uint16_t count = 0;
  };
  base::Result<Block> block(std::uint8_t protocol, const base::IpAddress& address);
  base::Result<void> resolve(const base::IpAddress& address);
  /// Looks at what the daemon says by itself. True if the device has gone.
  bool device_gone();
  /// The daemon has hung up.
  bool lost() const { return lost_; }
  int fd() const { return socket_.get(); }
  base::UniqueFd& socket() { return socket_; }

 private:
  base::Result<Answer> ask(const Request& request, int fd, std::vector<base::UniqueFd>* fds);
  bool receive(Answer& answer, std::vector<base::UniqueFd>* fds, int timeout_ms);

  base::UniqueFd socket_;
  bool gone_ = false;
  bool lost_ = false;
};

}  // namespace ringway::netd
