#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "control/client/admin.h"
#include "control/proto/runtime_dir.h"

namespace ringway::cli {

namespace {

constexpr int kNotRunning = 3;

int up() {
  auto admin = control::Admin::connect({{}, {}, true, true});
  if (!admin) return complain("up", admin.error());
  if (auto stays = admin->set_stay(true); !stays) return complain("up", stays.error());
  const auto status = admin->status();
  if (!status) return complain("up", status.error());
  fmt::print("ringwayd runs as process {} in {}\n", status->pid,
             control::proto::runtime_directory());
  return 0;
}

int down() {
  auto admin = control::Admin::connect({{}, {}, false, false});
  if (!admin) {
    if (admin.error().code != base::ErrorCode::kUnavailable) return complain("down", admin.error());
    fmt::print("ringwayd is not running\n");
    return 0;
  }
  const auto status = admin->status();
  if (auto ended = admin->shutdown(); !ended) return complain("down", ended.error());
  fmt::print("ringwayd has ended\n");
  if (status && status->stacks != 0) {
    fmt::print("{} stacks of programs live on; programs start it again when they need it\n",
               status->stacks);
  }
  return 0;
}

int not_running(bool json) {
  if (json) {
    fmt::print("{}\n", nlohmann::json{{"running", false}}.dump(2));
  } else {
    fmt::print("ringwayd is not running; `ringway run` and `ringway up` start it\n");
  }
  return kNotRunning;
}

int status(bool json) {
  auto admin = control::Admin::connect({{}, {}, false, false});
  if (!admin) {
    if (admin.error().code == base::ErrorCode::kUnavailable) return not_running(json);
    return complain("status", admin.error());
  }
  const auto daemon = admin->status();
  if (!daemon) return complain("status", daemon.error());
  const auto networks = admin->list_networks();
  if (!networks) return complain("status", networks.error());
  if (json) {
    nlohmann::json all{{"running", true},
                       {"pid", daemon->pid},
                       {"directory", control::proto::runtime_directory()},
                       {"uptime_seconds", daemon->uptime_seconds},
                       {"stays", daemon->stay != 0},
                       {"programs", daemon->clients},
                       {"stacks", daemon->stacks},
                       {"links", daemon->links},
                       {"networks", networks_json(*networks)}};
    fmt::print("{}\n", all.dump(2));
    return 0;
  }
  fmt::print("ringwayd: process {}, up {}, {}\n", daemon->pid,
             format_seconds(daemon->uptime_seconds),
             daemon->stay != 0 ? "until `ringway down`" : "until 10 s after the last program");
  fmt::print("{} programs, {} stacks, {} links\n\n", daemon->clients, daemon->stacks,
             daemon->links);
  fmt::print("{}", networks_table(*networks));
  return 0;
}

}  // namespace

void add_daemon_commands(CLI::App& app, Action& action) {
  auto* up_app = app.add_subcommand("up", "start ringwayd, to stay until `ringway down`");
  up_app->callback([&action] { action = up; });
  auto* down_app =
      app.add_subcommand("down", "end ringwayd; connections of running programs go on");
  down_app->callback([&action] { action = down; });
  auto* status_app =
      app.add_subcommand("status", "what ringwayd knows; exit status 3 if it does not run");
  auto json = std::make_shared<bool>(false);
  status_app->add_flag("--json", *json, "print JSON");
  status_app->callback([&action, json] { action = [json] { return status(*json); }; });
}

}  // namespace ringway::cli
