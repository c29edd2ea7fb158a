#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/program.h"
#include "control/client/connect.h"
#include "control/proto/runtime_dir.h"
#include "dump/filter.h"

namespace ringway::cli {

namespace {

std::string word(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "good";
    case Verdict::kLimited:
      return "limited";
    case Verdict::kMissing:
      return "missing";
    case Verdict::kBroken:
      return "broken";
  }
  return "";
}

Check runtime_directory() {
  const auto path = control::proto::runtime_directory();
  const auto opened = control::proto::open_runtime_directory(path);
  if (opened) return {"runtime directory", Verdict::kGood, path, ""};
  return {"runtime directory", Verdict::kBroken, opened.error().what,
          "set RINGWAY_DIR to a directory of yours with mode 0700"};
}

Check daemon_program() {
  const auto path = control::find_daemon();
  if (!path.empty()) return {"ringwayd", Verdict::kGood, path, ""};
  return {"ringwayd", Verdict::kBroken, "not found", "install all of Ringway, or set RINGWAYD"};
}

Check shim() {
  const auto path = find_shim();
  if (path) return {"socket shim", Verdict::kGood, *path, ""};
  return {"socket shim", Verdict::kBroken, path.error().what, "cmake --build build/release"};
}

Check helper(const std::string& name, const std::string& what) {
  const auto path = own_directory() + "/" + name;
  if (::access(path.c_str(), X_OK) == 0) return {name, Verdict::kGood, path, ""};
  return {name, Verdict::kMissing, what, "install all of Ringway (cmake --build build/release)"};
}

/// Whether captures work: the daemon's arenas, and libpcap for filters.
Check captures() {
  const auto filter = dump::Filter::compile("tcp port 1");
  if (filter) return {"ringway dump", Verdict::kGood, "captures and filters work", ""};
  return {"ringway dump", Verdict::kMissing, filter.error().what, "apt install libpcap0.8"};
}

/// `ringway bench packet` compares with DPDK.
Check packet_bench() {
  const auto beside = own_directory() + "/rw-packet-dpdk";
  const auto installed = own_directory() + "/../libexec/ringway/rw-packet-dpdk";
  for (const auto& path : {beside, installed}) {
    if (::access(path.c_str(), X_OK) == 0) {
      return {"ringway bench packet", Verdict::kGood, "compares with DPDK", ""};
    }
  }
  return {"ringway bench packet", Verdict::kMissing, "has no DPDK to compare with",
          "apt install libdpdk-dev and build again"};
}

Check running_daemon() {
  auto socket = control::connect_daemon({{}, {}, false, false});
  if (socket) return {"daemon", Verdict::kGood, "runs", ""};
  if (socket.error().code == base::ErrorCode::kUnavailable) {
    return {"daemon", Verdict::kGood, "does not run; it is started on demand", ""};
  }
  return {"daemon", Verdict::kBroken, socket.error().what, "see the line to the left"};
}

int doctor(bool as_json) {
  auto checks = check_installation();
  const auto machine = check_machine();
  checks.insert(checks.end(), machine.begin(), machine.end());
  const auto drivers = check_drivers();
  checks.insert(checks.end(), drivers.begin(), drivers.end());
  auto list = nlohmann::json::array();
  std::vector<std::vector<std::string>> rows{{"WHAT", "STATE", "DETAIL", "FIX"}};
  for (const auto& check : checks) {
    rows.push_back({check.name, word(check.verdict), check.detail, check.fix});
    list.push_back({{"name", check.name},
                    {"state", word(check.verdict)},
                    {"detail", check.detail},
                    {"fix", check.fix}});
  }
  fmt::print("{}", as_json ? list.dump(2) + "\n" : format_table(rows));
  const bool broken = std::any_of(checks.begin(), checks.end(), [](const Check& check) {
    return check.verdict == Verdict::kBroken;
  });
  return broken ? 1 : 0;
}

}  // namespace

std::vector<Check> check_installation() {
  return {runtime_directory(),
          daemon_program(),
          shim(),
          running_daemon(),
          helper("ringway-reaper", "connections of programs that die are cut off"),
          helper("ringway-gateway", "no `ringway net attach`"),
          captures(),
          packet_bench()};
}

void add_doctor(CLI::App& app, Action& action) {
  auto* doctor_app = app.add_subcommand(
      "doctor",
      "what works on this machine, and the fix for what does not; exit status 1 if "
      "Ringway cannot work");
  auto json = std::make_shared<bool>(false);
  doctor_app->add_flag("--json", *json, "print JSON");
  doctor_app->callback([&action, json] { action = [json] { return doctor(*json); }; });
}

}  // namespace ringway::cli
