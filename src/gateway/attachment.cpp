#include "gateway/attachment.h"

#include <sys/eventfd.h>

#include "base/sys.h"

namespace ringway::gateway {

using base::Result;
using base::UniqueFd;

Result<std::unique_ptr<Attachment>> Attachment::join(const std::string& network) {
  control::ClientOptions options;
  options.network = network;
  options.program = "ringway-gateway";
  auto client = control::Client::connect(std::move(options));
  if (!client) return tl::unexpected(std::move(client).error());
  std::unique_ptr<Attachment> attachment(new Attachment(std::move(*client)));
  if (auto table = attachment->replace_table(attachment->client_.table_fd()); !table) {
    return tl::unexpected(std::move(table).error());
  }
  if (auto made = attachment->make_memory(); !made) {
    return tl::unexpected(std::move(made).error());
  }
  return attachment;
}

Result<void> Attachment::make_memory() {
  auto arena = mem::Arena::create("ringway-gateway", sizeof(State), layout_hash());
  if (!arena) return tl::unexpected(std::move(arena).error());
  arena_ = std::move(*arena);
  auto mailbox_fd = driver::MailboxMemory::create();
  if (!mailbox_fd) return tl::unexpected(std::move(mailbox_fd).error());
  mailbox_fd_ = UniqueFd(*mailbox_fd);
  auto mailbox = driver::MailboxMemory::map(mailbox_fd_.get());
  if (!mailbox) return tl::unexpected(std::move(mailbox).error());
  mailbox_ = std::move(*mailbox);
  doorbell_ = UniqueFd(base::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  int life[2] = {-1, -1};
  if (!doorbell_ || base::sys::pipe2(life, O_CLOEXEC) != 0) {
    return base::fail_errno("no descriptors for a gateway");
  }
  life_read_ = UniqueFd(life[0]);
  life_write_ = UniqueFd(life[1]);
  return {};
}

Result<void> Attachment::replace_table(int fd) {
  auto table = steering::Table::attach(fd);
  if (!table) return tl::unexpected(std::move(table).error());
  table_ = std::move(*table);
  return {};
}

Result<void> Attachment::become_gateway() {
  const auto id = client_.register_stack({.arena = arena_.fd(),
                                          .mailbox = mailbox_fd_.get(),
                                          .doorbell = doorbell_.get(),
                                          .life = life_read_.get()},
                                         true);
  if (!id) return tl::unexpected(id.error());
  id_ = *id;
  return {};
}

void Attachment::leave() {
  if (id_.valid()) static_cast<void>(client_.close_stack(id_));
  id_ = {};
}

}  // namespace ringway::gateway
