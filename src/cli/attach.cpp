#include "cli/attach.h"

#include <fmt/format.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <utility>

#include "cli/output.h"
#include "cli/program.h"
#include "control/client/admin.h"
#include "port/spec.h"
#include "steering/table.h"

namespace ringway::cli {

using base::ErrorCode;
using base::Result;

namespace {

struct Gateway {
  steering::Table table;
  pid_t pid = 0;
};

Result<Gateway> find_gateway(const std::string& network) {
  auto admin = control::Admin::connect({{}, {}, false, false});
  if (!admin) return tl::unexpected(std::move(admin).error());
  auto fd = admin->open_table(network);
  if (!fd) return tl::unexpected(std::move(fd).error());
  auto table = steering::Table::attach(fd->get());
  if (!table) return tl::unexpected(std::move(table).error());
  const auto id = table->gateway();
  const auto stack = id ? table->stack(id->index) : std::nullopt;
  if (!stack) {
    return base::fail(ErrorCode::kNotFound,
                      fmt::format("network '{}' is not attached to anything", network));
  }
  return Gateway{std::move(*table), stack->pid};
}

}  // namespace

Result<std::vector<std::string>> gateway_command(const std::string& network,
                                                 const std::string& spec, bool foreground) {
  const auto parsed = port::Spec::parse(spec);
  if (!parsed) return tl::unexpected(parsed.error());
  std::vector<std::string> command{own_directory() + "/ringway-gateway", "--network", network,
                                   "--port", spec};
  if (foreground) command.emplace_back("--foreground");
  return command;
}

namespace {

/// Returns only if it failed.
int become(const std::string& what, std::vector<std::string> command) {
  std::vector<char*> argv;
  for (auto& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  return complain(what,
                  base::Error(base::fail_errno(fmt::format("cannot start {}", argv[0])).value()));
}

std::string gateway_program() { return own_directory() + "/ringway-gateway"; }

}  // namespace

int attach(const std::string& network, const std::string& spec, bool foreground) {
  auto command = gateway_command(network, spec, foreground);
  if (!command) {
    complain("net attach", command.error());
    return 2;
  }
  return become("net attach", std::move(*command));
}

int detach_port(const std::string& network, const std::string& port) {
  return become("net detach", {gateway_program(), "--network", network, "--detach", port});
}

int list_ports(const std::string& network) {
  return become("net ports", {gateway_program(), "--network", network, "--list"});
}

int detach(const std::string& network) {
  const auto gateway = find_gateway(network);
  if (!gateway) return complain("net detach", gateway.error());
  if (::kill(gateway->pid, SIGTERM) != 0) {
    return complain("net detach", base::fail_errno("cannot end the gateway").value());
  }
  for (int tries = 0; tries < 500; ++tries) {
    if (!gateway->table.gateway()) return 0;
    const timespec pause{0, 10'000'000};
    ::nanosleep(&pause, nullptr);
  }
  return complain("net detach", fmt::format("the gateway (process {}) does not end", gateway->pid));
}

}  // namespace ringway::cli
