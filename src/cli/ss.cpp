#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/arena_reader.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "control/client/admin.h"
#include "steering/table.h"

namespace ringway::cli {

namespace {

using nlohmann::json;
using steering::text_of;

struct SsOptions {
  std::string network;
  bool json = false;
  bool listening = false;
};

/// One stack with what its arena told, or why that could not be read.
struct Found {
  std::string network;
  std::string host;
  steering::Stack stack;
  StackView view;
  std::string unread;
  std::vector<steering::Entry> udp;
};

std::vector<steering::Entry> udp_entries(const steering::Table& table, steering::StackId id) {
  std::vector<steering::Entry> entries;
  for (std::uint32_t i = 0; i < table.entry_limit(); ++i) {
    const auto entry = table.entry(i);
    if (entry && entry->stack == id && entry->protocol == steering::Protocol::kUdp) {
      entries.push_back(*entry);
    }
  }
  return entries;
}

Found look_at(control::Admin& admin, const std::string& network, const steering::Table& table,
              const steering::Stack& stack) {
  Found found;
  found.network = network;
  found.stack = stack;
  if (const auto host = table.host(stack.host)) found.host = text_of(host->name);
  found.udp = udp_entries(table, stack.id);
  if (stack.gateway != 0) return found;  // has no sockets, and an arena of another layout
  auto arena = admin.fetch_arena(network, stack.id);
  if (!arena) {
    found.unread = arena.error().what;
    return found;
  }
  auto view = read_stack(arena->release());
  if (view) {
    found.view = std::move(*view);
  } else {
    found.unread = view.error().what;
  }
  return found;
}

base::Result<std::vector<Found>> look(const std::string& only) {
  std::vector<Found> all;
  auto admin = control::Admin::connect({{}, {}, false, false});
  if (!admin) {
    if (admin.error().code == base::ErrorCode::kUnavailable) return all;
    return tl::unexpected(admin.error());
  }
  const auto networks = admin->list_networks();
  if (!networks) return tl::unexpected(networks.error());
  bool known = only.empty();
  for (const auto& info : *networks) {
    const std::string name(text_of(info.network.name));
    if (!only.empty() && name != only) continue;
    known = true;
    const auto fd = admin->open_table(name);
    if (!fd) return tl::unexpected(fd.error());
    const auto table = steering::Table::attach(fd->get());
    if (!table) return tl::unexpected(table.error());
    for (std::uint32_t i = 0; i < table->stack_limit(); ++i) {
      const auto stack = table->stack(static_cast<std::uint16_t>(i));
      if (stack) all.push_back(look_at(*admin, name, *table, *stack));
    }
  }
  if (known) return all;
  return base::fail(base::ErrorCode::kNotFound, fmt::format("there is no network '{}'", only));
}

std::string process(const steering::Stack& stack) {
  return fmt::format("{}/{}", stack.pid, text_of(stack.program));
}

std::string address_of(const steering::Entry& entry) {
  if (entry.scope == steering::Scope::kSpecific)
    return to_string(base::Endpoint{entry.address, entry.port});
  return fmt::format("{}:{}", entry.scope == steering::Scope::kAnyV4 ? "0.0.0.0" : "[::]",
                     entry.port);
}

using Rows = std::vector<std::vector<std::string>>;

void add_sockets(Rows& rows, const Found& found) {
  const auto who = process(found.stack);
  for (const auto& listener : found.view.listeners) {
    rows.push_back({"tcp", "LISTEN", std::to_string(listener.ready),
                    std::to_string(listener.backlog), to_string(listener.local), "*", "", "", "",
                    who, found.network});
  }
  for (const auto& entry : found.udp) {
    rows.push_back(
        {"udp", "BOUND", "", "", address_of(entry), "*", "", "", "", who, found.network});
  }
}

void add_connections(Rows& rows, const Found& found) {
  for (const auto& c : found.view.connections) {
    rows.push_back({"tcp", c.state, std::to_string(c.receive_queue_bytes),
                    std::to_string(c.send_queue_bytes), to_string(c.local), to_string(c.remote),
                    c.rtt_us == 0 ? "-" : fmt::format("{} us", c.rtt_us),
                    c.link ? "link" : std::to_string(c.cwnd_bytes), std::to_string(c.retransmits),
                    process(found.stack), found.network});
  }
}

int print_text(const std::vector<Found>& all, bool listening) {
  Rows rows{{"PROTO", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "REMOTE", "RTT", "CWND", "RETRANS",
             "PROGRAM", "NETWORK"}};
  for (const auto& found : all) {
    add_sockets(rows, found);
    if (!listening) add_connections(rows, found);
  }
  fmt::print("{}", format_table(rows));
  for (const auto& found : all) {
    if (!found.unread.empty()) {
      fmt::print(stderr, "ringway ss: {}: {}\n", process(found.stack), found.unread);
    }
    if (found.view.poisoned) {
      fmt::print(stderr, "ringway ss: {}: its stack is poisoned: a process died inside it\n",
                 process(found.stack));
    }
  }
  return 0;
}

json connection_json(const ConnectionView& c) {
  json one{{"state", c.state},
           {"local", to_string(c.local)},
           {"remote", to_string(c.remote)},
           {"receive_queue_bytes", c.receive_queue_bytes},
           {"send_queue_bytes", c.send_queue_bytes},
           {"link", c.link},
           {"retransmits", c.retransmits},
           {"bytes_sent", c.bytes_sent},
           {"bytes_received", c.bytes_received}};
  one["rtt_us"] = c.rtt_us == 0 ? json() : json(c.rtt_us);
  one["cwnd_bytes"] = c.link ? json() : json(c.cwnd_bytes);
  return one;
}

int print_json(const std::vector<Found>& all, bool listening) {
  json stacks = json::array();
  for (const auto& found : all) {
    json one{{"network", found.network},
             {"host", found.host},
             {"stack", fmt::format("{}.{}", found.stack.id.index, found.stack.id.generation)},
             {"pid", found.stack.pid},
             {"program", text_of(found.stack.program)},
             {"gateway", found.stack.gateway != 0},
             {"poisoned", found.view.poisoned}};
    one["listeners"] = json::array();
    for (const auto& listener : found.view.listeners) {
      one["listeners"].push_back({{"protocol", "tcp"},
                                  {"local", to_string(listener.local)},
                                  {"ready", listener.ready},
                                  {"backlog", listener.backlog}});
    }
    for (const auto& entry : found.udp) {
      one["listeners"].push_back({{"protocol", "udp"}, {"local", address_of(entry)}});
    }
    if (!listening) {
      one["connections"] = json::array();
      for (const auto& c : found.view.connections) one["connections"].push_back(connection_json(c));
    }
    if (!found.unread.empty()) one["error"] = found.unread;
    stacks.push_back(std::move(one));
  }
  fmt::print("{}\n", stacks.dump(2));
  return 0;
}

int ss(const SsOptions& options) {
  const auto all = look(options.network);
  if (!all) return complain("ss", all.error());
  return options.json ? print_json(*all, options.listening) : print_text(*all, options.listening);
}

}  // namespace

void add_ss(CLI::App& app, Action& action) {
  auto* ss_app = app.add_subcommand(
      "ss", "sockets of running programs, read from their memory without disturbing them");
  auto options = std::make_shared<SsOptions>();
  ss_app->add_option("--network", options->network, "only this network [all]")->type_name("NAME");
  ss_app->add_flag("--listening", options->listening, "only what waits for connections");
  ss_app->add_flag("--json", options->json, "print JSON");
  ss_app->callback([&action, options] { action = [options] { return ss(*options); }; });
}

}  // namespace ringway::cli
