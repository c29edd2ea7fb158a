#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/address.h"
#include "base/result.h"
#include "base/time.h"
#include "control/client/client.h"

namespace ringway::cli {

/// A link to one stack over which echo requests go and answers come: no sockets, no protocol state.
/// What is measured is the way of a frame to the other program and back, its waking included. One
/// thread.
class EchoLink {
 public:
  /// Registers a stack of one page with `client` and links it to `peer`.
  static base::Result<EchoLink> open(control::Client& client, steering::StackId peer);
  EchoLink(EchoLink&&) noexcept;
  EchoLink& operator=(EchoLink&&) noexcept;
  ~EchoLink();

  /// The stack that asks: the caller closes it with the client.
  steering::StackId stack() const;

  struct Request {
    base::IpAddress from;
    base::IpAddress to;  // of the same family
    std::uint16_t sequence = 0;
    std::uint16_t payload_bytes = 56;
  };
  /// Sends one request and waits for its answer; empty at the timeout. Errors: kUnavailable if the
  /// link has no room.
  base::Result<std::optional<base::Duration>> ping(const Request& request, base::Duration timeout);

 private:
  struct Parts;
  explicit EchoLink(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ringway::cli
