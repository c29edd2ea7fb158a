#pragma once

#include <memory>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "control/client/client.h"
#include "driver/link/link_memory.h"
#include "gateway/state.h"
#include "steering/table.h"

namespace ringway::gateway {

/// A gateway's place in its network: the daemon, the steering table, and what peers reach it by.
class Attachment {
 public:
  /// Joins the network; registers nothing yet.
  static base::Result<std::unique_ptr<Attachment>> join(const std::string& network);
  /// From here on everything that no host owns goes to this process.
  base::Result<void> become_gateway();
  /// A clean end.
  void leave();

  control::Client& client() { return client_; }
  const steering::Table& table() const { return *table_; }
  /// Continues with another table.
  base::Result<void> replace_table(int fd);
  ring::Mailbox& mailbox() { return *mailbox_.get(); }
  int doorbell() const { return doorbell_.get(); }
  State& state() { return arena_.as<State>(); }
  steering::StackId id() const { return id_; }

 private:
  explicit Attachment(control::Client client) : client_(std::move(client)) {}
  base::Result<void> make_memory();

  control::Client client_;
  std::optional<steering::Table> table_;
  mem::Arena arena_;
  driver::MailboxMemory mailbox_;
  base::UniqueFd mailbox_fd_;
  base::UniqueFd doorbell_;
  base::UniqueFd life_read_;
  base::UniqueFd life_write_;  ///< hangs up for everybody when this process ends
  steering::StackId id_;
};

}  // namespace ringway::gateway
