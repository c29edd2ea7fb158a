#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "control/client/connect.h"
#include "control/proto/admin.h"
#include "control/proto/channel.h"

namespace ringway::control {

/// The ringway command's connection to the user's ringwayd: asks and administers, joins no network.
/// Every call waits for its answer, at most 2 s. Not thread-safe.
class Admin {
 public:
  static base::Result<Admin> connect(const ConnectOptions& options);

  base::Result<proto::StatusReply> status();
  base::Result<void> set_stay(bool stay);
  /// The daemon has ended when this returns; running programs keep their connections.
  base::Result<void> shutdown();
  /// Without a prefix the daemon chooses one.
  base::Result<void> add_network(std::string_view name, std::optional<base::Prefix> prefix4);
  base::Result<void> remove_network(std::string_view name);
  base::Result<std::vector<proto::NetworkInfo>> list_networks();
  /// For steering::Table::attach(): hosts, stacks and listeners.
  base::Result<base::UniqueFd> open_table(std::string_view network);
  /// A stack's arena, for reading only; with `capture`, to switch a capture on.
  base::Result<base::UniqueFd> fetch_arena(std::string_view network, steering::StackId stack,
                                           bool capture = false);

 private:
  explicit Admin(base::UniqueFd socket) : socket_(std::move(socket)) {}
  template <typename Reply, typename Request>
  base::Result<proto::Received> ask(const Request& request);

  base::UniqueFd socket_;
  std::uint32_t next_tag_ = 1;
};

}  // namespace ringway::control
