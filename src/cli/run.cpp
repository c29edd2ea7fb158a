#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/program.h"
#include "control/client/connect.h"
#include "control/proto/runtime_dir.h"
#include "posix/policy.h"

namespace ringway::cli {

namespace {

struct RunOptions {
  std::string network;
  std::string host;
  std::string only;
  std::string except;
  int spin_us = -1;
};

void set_unless_empty(const char* name, const std::string& value) {
  if (!value.empty()) ::setenv(name, value.c_str(), 1);
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

std::string check_options(const RunOptions& options) {
  namespace proto = control::proto;
  if (!options.network.empty() && !proto::valid_network_name(options.network)) {
    return fmt::format("'{}' is no name of a network: 1 to 31 characters of a-z A-Z 0-9 . _ -",
                       options.network);
  }
  if (!options.host.empty() && !proto::valid_host_name(options.host)) {
    return fmt::format("'{}' is no name of a host: 1 to 63 characters of a-z A-Z 0-9 . _ -",
                       options.host);
  }
  const auto policy = posix::Policy::parse(options.only, options.except);
  return policy ? std::string() : policy.error().what;
}

int run(const RunOptions& options, const std::vector<std::string>& command) {
  if (command.empty()) {
    complain("run", "name the program behind --, as in: ringway run -- redis-server --port 6379");
    return 2;
  }
  if (const auto wrong = check_options(options); !wrong.empty()) {
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
  // Started here rather than by the program, so that a failure is told at once and in clear.
  if (auto daemon = control::connect_daemon({}); !daemon) return complain("run", daemon.error());
  preload(*shim);
  set_unless_empty("RINGWAY_NETWORK", options.network);
  set_unless_empty("RINGWAY_HOST", options.host);
  set_unless_empty("RINGWAY_ONLY", options.only);
  set_unless_empty("RINGWAY_EXCEPT", options.except);
  if (options.spin_us >= 0) ::setenv("RINGWAY_SPIN_US", std::to_string(options.spin_us).c_str(), 1);
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
  auto options = std::make_shared<RunOptions>();
  run_app->add_option("--network", options->network, "the network to join [default]")
      ->type_name("NAME");
  run_app->add_option("--host", options->host, "a host (name and address) of its own")
      ->type_name("NAME");
  run_app
      ->add_option("--only", options->only,
                   "take only this traffic: tcp, udp, :PORT, tcp:PORT, udp:PORT, ADDR/LEN, "
                   "separated by commas; the rest is the kernel's")
      ->type_name("LIST");
  run_app
      ->add_option("--except", options->except, "take all but this traffic; stronger than --only")
      ->type_name("LIST");
  run_app->add_option("--spin", options->spin_us, "microseconds to poll before sleeping [50]")
      ->type_name("US")
      ->check(CLI::Range(0, 1'000'000));
  run_app->callback([&action, options, &command] {
    action = [options, &command] { return run(*options, command); };
  });
}

}  // namespace ringway::cli
