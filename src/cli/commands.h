#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace ringway::cli {

/// What a subcommand does once the command line is understood; returns the exit status:
/// 0 done, 1 it failed (one line on stderr says why), 2 wrong arguments, 3 `status`: not running.
using Action = std::function<int()>;

/// Each adds its subcommand to `app` and puts into `action` what it does when it is the chosen one.
void add_run(CLI::App& app, Action& action, const std::vector<std::string>& command);
void add_daemon_commands(CLI::App& app, Action& action);  // up, down, status
void add_net(CLI::App& app, Action& action);
void add_ss(CLI::App& app, Action& action);
void add_ping(CLI::App& app, Action& action);
void add_options(CLI::App& app, Action& action);
void add_gen(CLI::App& app, Action& action);
void add_sink(CLI::App& app, Action& action);
void add_dump(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);

}  // namespace ringway::cli
