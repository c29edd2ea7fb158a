#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <memory>

#include "cli/commands.h"
#include "cli/option_table.h"
#include "cli/output.h"
#include "cli/port.h"
#include "cli/program.h"
#include "control/client/connect.h"
#include "control/proto/runtime_dir.h"
#include "posix/policy.h"

namespace ringway::cli {

namespace {

/// What was given on the command line, by the option's name.
using Given = std::map<std::string, std::string, std::less<>>;

std::string_view value_of(const Given& given, std::string_view name) {
  const auto found = given.find(name);
  return found == given.end() ? std::string_view() : std::string_view(found->second);
}

// The shim goes first: what else is preloaded is to see its calls. A run within a run loads it
// once.
void preload(const std::string& shim) {
  std::string all = shim;
#ifdef RINGWAY_SANITIZER_RUNTIME
  // A sanitizer's runtime has to come before everything else.
  all = std::string(RINGWAY_SANITIZER_RUNTIME) + ":" + shim;
#endif
  const char* before = std::getenv("LD_PRELOAD");
  if (before != nullptr && *before != '\0') {
    if (std::string_view(before).find(shim) != std::string_view::npos) return;
    all += std::string(":") + before;
  }
  ::setenv("LD_PRELOAD", all.c_str(), 1);
}

std::string check_options(const Given& given) {
  namespace proto = control::proto;
  for (const auto& [name, value] : given) {
    if (value.empty()) return fmt::format("--{} needs a value", name);
  }
  const auto network = value_of(given, "network");
  if (!network.empty() && !proto::valid_network_name(network)) {
    return fmt::format("'{}' is no name of a network: 1 to 31 characters of a-z A-Z 0-9 . _ -",
                       network);
  }
  const auto host = value_of(given, "host");
  if (!host.empty() && !proto::valid_host_name(host)) {
    return fmt::format("'{}' is no name of a host: 1 to 63 characters of a-z A-Z 0-9 . _ -", host);
  }
  const auto policy = posix::Policy::parse(value_of(given, "only"), value_of(given, "except"));
  return policy ? std::string() : policy.error().what;
}

void set_environment(const Given& given) {
  for (const auto& option : kOptions) {
    const auto value = value_of(given, option.name);
    if (!value.empty()) {
      ::setenv(std::string(option.environment).c_str(), std::string(value).c_str(), 1);
    }
  }
}

int run(const Given& given, const std::vector<std::string>& command) {
  if (command.empty()) {
    complain("run", "name the program behind --, as in: ringway run -- redis-server --port 6379");
    return 2;
  }
  if (const auto wrong = check_options(given); !wrong.empty()) {
    complain("run", wrong);
    return 2;
  }
  auto program = find_program(command[0]);
  if (!program) {
    complain("run", program.error());
    return program.error().code == base::ErrorCode::kPermission ? 126 : 127;  // as a shell
  }
  if (auto loadable = check_loadable(*program); !loadable) return complain("run", loadable.error());
  const auto shim = find_shim();
  if (!shim) return complain("run", shim.error());
  if (auto ready = prepare_port(value_of(given, "port")); !ready) {
    return complain("run", ready.error());
  }
  // Started here rather than by the program, so that a failure is told at once and in clear.
  if (auto daemon = control::connect_daemon({}); !daemon) return complain("run", daemon.error());
  preload(*shim);
  set_environment(given);
  std::vector<char*> argv;
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(program->c_str(), argv.data());
  complain("run", base::fail_errno(fmt::format("cannot run {}", *program)).value());
  return 126;
}

}  // namespace

void add_run(CLI::App& app, Action& action, const std::vector<std::string>& command) {
  auto* run_app = app.add_subcommand("run", "run an unmodified program on Ringway");
  run_app->footer("The program stands behind --: ringway run [OPTIONS] -- PROGRAM [ARGUMENTS...]");
  auto given = std::make_shared<Given>();
  for (const auto& option : kOptions) {
    if (option.name.empty()) continue;
    auto* added = run_app
                      ->add_option_function<std::string>(
                          fmt::format("--{}", option.name),
                          [given, name = std::string(option.name)](const std::string& value) {
                            (*given)[name] = value;
                          },
                          fmt::format("{} [{}]", option.doc, option.fallback))
                      ->type_name(std::string(option.value));
    if (option.least != option.most) added->check(CLI::Range(option.least, option.most, ""));
  }
  run_app->callback(
      [&action, given, &command] { action = [given, &command] { return run(*given, command); }; });
}

}  // namespace ringway::cli
