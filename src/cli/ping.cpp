#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/commands.h"
#include "cli/echo_link.h"
#include "cli/output.h"
#include "control/client/client.h"
#include "steering/table.h"

namespace ringway::cli {

namespace {

using steering::text_of;

struct PingOptions {
  std::string target;
  std::string network = "default";
  int count = 4;
  int interval_ms = 200;
  int timeout_ms = 1000;
  bool json = false;
};

/// One program on the host that is asked.
struct Target {
  steering::Stack stack;
  EchoLink link;
  std::vector<base::Duration> times;
  int lost = 0;
};

base::Result<base::IpAddress> address_of(const PingOptions& options, control::Client& client) {
  if (const auto address = base::parse_ip(options.target)) return *address;
  const auto host = client.resolve(options.target);
  if (!host) return tl::unexpected(host.error());
  return host->ipv4;
}

base::Result<std::vector<Target>> open_targets(control::Client& client,
                                               const steering::Table& table,
                                               steering::HostIndex host) {
  std::vector<Target> targets;
  for (std::uint32_t i = 0; i < table.stack_limit(); ++i) {
    const auto stack = table.stack(static_cast<std::uint16_t>(i));
    const bool there =
        stack && stack->gateway == 0 && (host == steering::kLocalhost || stack->host == host);
    if (!there || stack->pid == ::getpid()) continue;
    auto link = EchoLink::open(client, stack->id);
    // It may have ended since the table was read.
    if (!link && link.error().code == base::ErrorCode::kNotFound) continue;
    if (!link) return tl::unexpected(std::move(link).error());
    targets.push_back({*stack, std::move(*link), {}, 0});
  }
  return targets;
}

base::Result<void> ask(Target& target, const EchoLink::Request& request,
                       const PingOptions& options) {
  const auto answer = target.link.ping(request, base::Duration::milliseconds(options.timeout_ms));
  if (!answer) return tl::unexpected(answer.error());
  const auto who = fmt::format("{}/{}", target.stack.pid, text_of(target.stack.program));
  if (*answer) {
    target.times.push_back(**answer);
  } else {
    ++target.lost;
  }
  if (options.json) return {};
  if (*answer) {
    fmt::print("{} bytes from {} ({}): seq={} time={:.1f} us\n", request.payload_bytes + 8,
               to_string(request.to), who, request.sequence,
               static_cast<double>((*answer)->ns) / 1000.0);
  } else {
    fmt::print("no answer from {} ({}): seq={}\n", to_string(request.to), who, request.sequence);
  }
  return {};
}

nlohmann::json summary(const std::vector<Target>& targets) {
  auto all = nlohmann::json::array();
  for (const auto& target : targets) {
    nlohmann::json one{{"pid", target.stack.pid},
                       {"program", text_of(target.stack.program)},
                       {"answered", target.times.size()},
                       {"lost", target.lost}};
    one["times_us"] = nlohmann::json::array();
    for (const auto time : target.times) {
      one["times_us"].push_back(static_cast<double>(time.ns) / 1000.0);
    }
    all.push_back(std::move(one));
  }
  return all;
}

/// The source must be of the target's family, and localhost is asked from localhost.
base::IpAddress source_for(const base::IpAddress& to, const steering::Host& own) {
  if (to.is_loopback()) return to;
  return to.is_v4() ? own.ipv4 : own.ipv6;
}

base::Result<std::vector<Target>> run(const PingOptions& options) {
  control::ClientOptions joining;
  joining.network = options.network;
  joining.program = "ringway-ping";
  auto client = control::Client::connect(joining);
  if (!client) return tl::unexpected(std::move(client).error());
  const auto to = address_of(options, *client);
  if (!to) return tl::unexpected(to.error());
  const auto table = steering::Table::attach(client->table_fd());
  if (!table) return tl::unexpected(table.error());
  const auto host = table->find_host(*to);
  if (!host) {
    return base::fail(base::ErrorCode::kNotFound,
                      fmt::format("{} is no host of network '{}'; for hosts outside use ping(8)",
                                  to_string(*to), options.network));
  }
  auto targets = open_targets(*client, *table, *host);
  if (!targets) return targets;
  const auto from = source_for(*to, client->membership().host);
  for (int i = 0; i < options.count; ++i) {
    if (i != 0) std::this_thread::sleep_for(std::chrono::milliseconds(options.interval_ms));
    for (auto& target : *targets) {
      auto asked = ask(target, {from, *to, static_cast<std::uint16_t>(i + 1), 56}, options);
      if (!asked) return tl::unexpected(std::move(asked).error());
    }
  }
  for (auto& target : *targets) (void)client->close_stack(target.link.stack());
  return targets;
}

int ping(const PingOptions& options) {
  const auto targets = run(options);
  if (!targets) return complain("ping", targets.error());
  if (options.json) fmt::print("{}\n", summary(*targets).dump(2));
  if (targets->empty() && !options.json) {
    fmt::print("the host is there, but no program runs on it\n");
  }
  const bool answered = std::any_of(targets->begin(), targets->end(),
                                    [](const Target& target) { return !target.times.empty(); });
  return answered ? 0 : 1;
}

}  // namespace

void add_ping(CLI::App& app, Action& action) {
  auto* ping_app = app.add_subcommand(
      "ping",
      "echo requests to every program on a host, over links; exit status 1 if none answers");
  auto options = std::make_shared<PingOptions>();
  ping_app->add_option("HOST", options->target, "name or address of a host of the network")
      ->required();
  ping_app->add_option("--network", options->network, "the network [default]")->type_name("NAME");
  ping_app->add_option("-c,--count", options->count, "how many requests to each program [4]")
      ->type_name("N")
      ->check(CLI::Range(1, 65535));
  ping_app->add_option("--interval", options->interval_ms, "milliseconds between requests [200]")
      ->type_name("MS")
      ->check(CLI::Range(0, 60'000));
  ping_app
      ->add_option("--timeout", options->timeout_ms, "milliseconds to wait for an answer [1000]")
      ->type_name("MS")
      ->check(CLI::Range(1, 60'000));
  ping_app->add_flag("--json", options->json, "print JSON");
  ping_app->callback([&action, options] { action = [options] { return ping(*options); }; });
}

}  // namespace ringway::cli
