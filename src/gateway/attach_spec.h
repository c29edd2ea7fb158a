#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/result.h"
#include "bridge/bridge.h"
#include "port/spec.h"

namespace ringway::gateway {

/// What to attach a network to: any port's spec with three options of the bridge's own, which the
/// driver does not see: "tap:rw0,ip=10.111.0.1/16,vlan=7,storm=1000".
struct AttachSpec {
  port::Spec port;  ///< without ip, vlan and storm
  /// tap: given to the kernel's interface. Others: the router behind the port. A missing length is
  /// 0: the network's own is meant.
  std::optional<base::Prefix> ip;
  bridge::MemberOptions member;

  /// Errors: kInvalidArgument, one line.
  static base::Result<AttachSpec> parse(std::string_view text);
  /// The driver's part as text again.
  std::string port_text() const;
};

}  // namespace ringway::gateway
