#include "cli/attach.h"

#include <fmt/format.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <array>

#include "cli/output.h"
#include "cli/program.h"
#include "control/client/admin.h"
#include "port/spec.h"
#include "steering/table.h"

namespace ringway::cli {

using base::ErrorCode;
using base::Result;

namespace {

constexpr std::array kTapOptions{
    port::SpecOption{"ip", port::OptionKind::kText, 0, 0, 0,
                     "address of the kernel's interface, with its prefix length"}};

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
  if (parsed->driver != "tap") {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("'{}': a network is attached by tap:NAME,ip=ADDRESS/LENGTH", spec));
  }
  const auto values = port::SpecValues::read(*parsed, kTapOptions);
  if (!values) return tl::unexpected(values.error());
  std::vector<std::string> command{own_directory() + "/ringway-gateway", "--network", network};
  if (!parsed->name.empty()) command.insert(command.end(), {"--tap", parsed->name});
  if (values->given(0)) command.insert(command.end(), {"--ip", values->text(0)});
  if (foreground) command.emplace_back("--foreground");
  return command;
}

int attach(const std::string& network, const std::string& spec, bool foreground) {
  auto command = gateway_command(network, spec, foreground);
  if (!command) {
    complain("net attach", command.error());
    return 2;
  }
  std::vector<char*> argv;
  for (auto& word : *command) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  return complain("net attach",
                  base::Error(base::fail_errno(fmt::format("cannot start {}", argv[0])).value()));
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
