#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/attach.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "control/client/admin.h"
#include "control/proto/runtime_dir.h"

namespace ringway::cli {

namespace {

// Making a network is a reason to start the daemon; looking at or removing one is not.
int list(bool json) {
  std::vector<control::proto::NetworkInfo> all;
  auto admin = control::Admin::connect({{}, {}, false, false});
  if (admin) {
    auto networks = admin->list_networks();
    if (!networks) return complain("net list", networks.error());
    all = std::move(*networks);
  } else if (admin.error().code != base::ErrorCode::kUnavailable) {
    return complain("net list", admin.error());
  }
  fmt::print("{}", json ? networks_json(all).dump(2) + "\n" : networks_table(all));
  return 0;
}

int add(const std::string& name, const std::string& subnet) {
  std::optional<base::Prefix> prefix;
  if (!subnet.empty()) {
    const auto parsed = base::parse_prefix(subnet);
    if (!parsed) {
      complain("net add", parsed.error());
      return 2;
    }
    prefix = *parsed;
  }
  auto admin = control::Admin::connect({});
  if (!admin) return complain("net add", admin.error());
  if (auto added = admin->add_network(name, prefix); !added) {
    return complain("net add", added.error());
  }
  return 0;
}

int remove(const std::string& name) {
  auto admin = control::Admin::connect({{}, {}, false, false});
  if (!admin) return complain("net del", admin.error());
  if (auto removed = admin->remove_network(name); !removed) {
    return complain("net del", removed.error());
  }
  return 0;
}

struct NetOptions {
  bool json = false;
  std::string name;
  std::string subnet;
  std::string port;
  bool foreground = false;
};

void add_attachments(CLI::App& net, Action& action, const std::shared_ptr<NetOptions>& options) {
  auto* attach_app =
      net.add_subcommand("attach", "join a network to the local kernel or to another port");
  attach_app->add_option("NETWORK", options->name, "the network")->required();
  attach_app
      ->add_option("PORT", options->port,
                   "DRIVER:NAME[,ip=ADDR/LEN][,vlan=ID][,storm=N][,OPTION=VALUE...]; tap: ip is "
                   "given to the kernel's interface [the subnet's first]")
      ->required();
  attach_app->add_flag("--foreground", options->foreground, "stay until ended");
  attach_app->footer(
      "Several ports of one network are bridged; `net detach NETWORK` ends them all.\n\n"
      "  ringway net attach default tap:rw0,ip=10.111.0.1/16\n"
      "  ringway net attach default xdp:eth1,vlan=7,storm=1000");
  attach_app->callback([&action, options] {
    action = [options] { return attach(options->name, options->port, options->foreground); };
  });
  auto* detach_app = net.add_subcommand("detach", "take a network from its ports, or from one");
  detach_app->add_option("NETWORK", options->name, "the network")->required();
  detach_app->add_option("PORT", options->port, "as `net ports` shows it [all]");
  detach_app->callback([&action, options] {
    action = [options] {
      return options->port.empty() ? detach(options->name)
                                   : detach_port(options->name, options->port);
    };
  });
  auto* ports_app = net.add_subcommand("ports", "what a network is attached to");
  ports_app->add_option("NETWORK", options->name, "the network")->required();
  ports_app->callback(
      [&action, options] { action = [options] { return list_ports(options->name); }; });
}

}  // namespace

void add_net(CLI::App& app, Action& action) {
  auto* net = app.add_subcommand("net", "list, make, attach and remove networks");
  net->require_subcommand(1);
  auto options = std::make_shared<NetOptions>();
  auto* list_app = net->add_subcommand("list", "the networks and what lives in them");
  list_app->add_flag("--json", options->json, "print JSON");
  list_app->callback([&action, options] { action = [options] { return list(options->json); }; });
  auto* add_app =
      net->add_subcommand("add", "make a network that stays when its last program has gone");
  add_app->add_option("NAME", options->name, "1 to 31 characters of a-z A-Z 0-9 . _ -")->required();
  add_app->add_option("--subnet", options->subnet, "its IPv4 addresses, /8 to /28 [a free one]")
      ->type_name("ADDR/LEN");
  add_app->callback(
      [&action, options] { action = [options] { return add(options->name, options->subnet); }; });
  add_attachments(*net, action, options);
  auto* del_app = net->add_subcommand("del", "remove a network that no program uses");
  del_app->add_option("NAME", options->name, "the network")->required();
  del_app->callback([&action, options] { action = [options] { return remove(options->name); }; });
}

}  // namespace ringway::cli
