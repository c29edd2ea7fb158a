#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bench/runner/bench.h"
#include "cli/commands.h"

namespace {

/// What stands behind `--` is the program of `run`, whatever it looks like.
std::vector<std::string> take_command(std::vector<std::string>& arguments) {
  const auto mark = std::find(arguments.begin(), arguments.end(), "--");
  if (mark == arguments.end() || arguments.front() != "run") return {};
  std::vector<std::string> command(mark + 1, arguments.end());
  arguments.erase(mark, arguments.end());
  return command;
}

/// What is wrong with the command line, and where help is: one line.
std::string complaint(const CLI::App* app, const CLI::Error& error) {
  std::string name = app->get_name();
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    name += " " + app->get_name();
  }
  const auto commands = app->get_subcommands([](const CLI::App*) { return true; });
  std::string what = error.what();
  if (!commands.empty() && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    const auto given = app->remaining();
    what = given.empty() ? "name a command:" : fmt::format("there is no command '{}':", given[0]);
    for (const CLI::App* command : commands) what += " " + command->get_name();
  }
  std::replace(what.begin(), what.end(), '\n', ' ');
  return fmt::format("{}: {} (see {} --help)\n", name, what, name);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && arguments[0] == "bench") {
    arguments.erase(arguments.begin());
    return ringway::bench::bench_main(arguments);
  }
  const auto command = take_command(arguments);
  CLI::App app{
      "Ringway: unmodified programs on a user-space network, without the kernel in the path",
      "ringway"};
  app.require_subcommand(1);
  app.failure_message(complaint);
  app.set_version_flag("--version", "ringway " RINGWAY_VERSION);
  ringway::cli::Action action;
  ringway::cli::add_run(app, action, command);
  ringway::cli::add_daemon_commands(app, action);
  ringway::cli::add_net(app, action);
  ringway::cli::add_ss(app, action);
  ringway::cli::add_ping(app, action);
  ringway::cli::add_gen(app, action);
  ringway::cli::add_sink(app, action);
  ringway::cli::add_dump(app, action);
  ringway::cli::add_doctor(app, action);
  ringway::cli::add_options(app, action);
  // Listed here for --help; taken above, since the benchmark has options of its own.
  app.add_subcommand("bench", "compare Ringway with the kernel on this machine (bench --help)");
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return action ? action() : 2;
}
