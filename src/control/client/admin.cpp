#include "control/client/admin.h"

#include "control/client/exchange.h"
#include "steering/table.h"

namespace ringway::control {

using base::Result;
using base::UniqueFd;

Result<Admin> Admin::connect(const ConnectOptions& options) {
  auto socket = connect_daemon(options);
  if (!socket) return tl::unexpected(std::move(socket).error());
  return Admin(std::move(*socket));
}

template <typename Reply, typename Request>
Result<proto::Received> Admin::ask(const Request& request) {
  const auto deadline = monotonic_now() + kRequestTimeout;
  const auto tag = next_tag_++;
  if (auto sent = proto::send(socket_.get(), request, tag); !sent) {
    return tl::unexpected(std::move(sent).error());
  }
  for (;;) {
    auto message = receive_next(socket_.get(), deadline);
    if (!message) return message;
    if (message->head().tag == tag) return expect_reply(std::move(*message), Reply::kType);
  }
}

Result<proto::StatusReply> Admin::status() {
  return ask<proto::StatusReply>(proto::Status{}).map([](const proto::Received& reply) {
    return reply.as<proto::StatusReply>();
  });
}

Result<void> Admin::set_stay(bool stay) {
  proto::SetStay request;
  request.stay = stay ? 1 : 0;
  return ask<proto::Ok>(request).map([](const proto::Received&) {});
}

Result<void> Admin::shutdown() {
  if (auto answered = ask<proto::Ok>(proto::Shutdown{}); !answered) {
    return tl::unexpected(std::move(answered).error());
  }
  // It hangs up last: from then on nobody finds it.
  const auto deadline = monotonic_now() + kRequestTimeout;
  for (;;) {
    const auto message = receive_next(socket_.get(), deadline);
    if (!message && hung_up(message.error())) return {};
    if (!message) return tl::unexpected(message.error());
  }
}

Result<void> Admin::add_network(std::string_view name, std::optional<base::Prefix> prefix4) {
  proto::AddNetwork request;
  steering::set_text(request.name, name);
  if (prefix4) {
    request.prefix4 = prefix4->address;
    request.prefix4_length = prefix4->length;
  }
  return ask<proto::Ok>(request).map([](const proto::Received&) {});
}

Result<void> Admin::remove_network(std::string_view name) {
  proto::RemoveNetwork request;
  steering::set_text(request.name, name);
  return ask<proto::Ok>(request).map([](const proto::Received&) {});
}

Result<std::vector<proto::NetworkInfo>> Admin::list_networks() {
  std::vector<proto::NetworkInfo> all;
  proto::ListNetworks request;
  for (;;) {
    const auto reply = ask<proto::NetworksReply>(request);
    if (!reply) return tl::unexpected(reply.error());
    const auto page = reply->as<proto::NetworksReply>();
    const auto count = std::min<std::size_t>(page.count, page.networks.size());
    all.insert(all.end(), page.networks.begin(), page.networks.begin() + count);
    if (page.more == 0 || count == 0) return all;
    request.after = all.back().network.name;
  }
}

Result<UniqueFd> Admin::open_table(std::string_view network) {
  proto::OpenTable request;
  steering::set_text(request.network, network);
  return ask<proto::FdReply>(request).map(
      [](proto::Received reply) { return std::move(reply.fds[0]); });
}

Result<UniqueFd> Admin::fetch_arena(std::string_view network, steering::StackId stack,
                                    bool capture) {
  proto::FetchArena request;
  steering::set_text(request.network, network);
  request.stack = stack;
  request.capture = capture ? 1 : 0;
  return ask<proto::FdReply>(request).map(
      [](proto::Received reply) { return std::move(reply.fds[0]); });
}

}  // namespace ringway::control
