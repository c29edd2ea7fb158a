#include <fmt/format.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <sched.h>

#include <algorithm>

#include "driver/dpdk/dpdk_port.h"

namespace ringway::driver {
namespace {

using base::ErrorCode;
using base::Result;

tl::unexpected<base::Error> fail_device(const std::string& name, std::string_view what, int error) {
  return base::fail(ErrorCode::kSystem, fmt::format("cannot {} DPDK device {}: {}", what, name,
                                                    rte_strerror(error < 0 ? -error : error)));
}

/// The first processor that this process may use: DPDK shall start no threads on others.
int first_processor() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) return cpu;
  }
  return 0;
}

std::vector<std::string> eal_arguments(const DpdkOptions& options) {
  std::vector<std::string> arguments{"ringway"};
  const auto has = [&](std::string_view name) {
    return std::any_of(options.eal.begin(), options.eal.end(),
                       [name](const std::string& word) { return word.starts_with(name); });
  };
  if (!has("-l") && !has("-c") && !has("--lcores")) {
    arguments.push_back(fmt::format("--lcores=0@{}", first_processor()));
  }
  if (options.eal.empty()) {
    // Not shared: two programs would meet in the files of one name under /var/run/dpdk.
    for (const char* word :
         {"--no-shconf", "--no-huge", "--iova-mode=va", "-m", "256", "--no-pci"}) {
      arguments.emplace_back(word);
    }
  }
  if (!has("--no-telemetry") && !has("--telemetry")) arguments.emplace_back("--no-telemetry");
  if (!has("--log-level")) arguments.emplace_back("--log-level=error");
  arguments.insert(arguments.end(), options.eal.begin(), options.eal.end());
  return arguments;
}

/// Once for the process. The EAL ties its caller to a processor, which is none of its business
/// here.
Result<void> start_eal(const DpdkOptions& options) {
  static bool started = false;
  if (started) return {};
  std::vector<std::string> arguments = eal_arguments(options);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  cpu_set_t before;
  CPU_ZERO(&before);
  const bool known = ::sched_getaffinity(0, sizeof before, &before) == 0;
  const int done = rte_eal_init(static_cast<int>(pointers.size()), pointers.data());
  if (known) ::sched_setaffinity(0, sizeof before, &before);
  if (done < 0) {
    return base::fail(ErrorCode::kUnavailable,
                      fmt::format("DPDK does not start: {}; see its options (eal=--no-shconf "
                                  "--no-huge --iova-mode=va -m 256 --no-pci works anywhere)",
                                  rte_strerror(rte_errno)));
  }
  started = true;
  return {};
}

Result<std::vector<std::unique_ptr<port::Port>>> open(const DpdkOptions& options,
                                                      std::span<const Frames> frames) {
  if (auto started = start_eal(options); !started) return tl::unexpected(started.error());
  std::vector<std::unique_ptr<DpdkPool>> pools;
  for (const Frames& each : frames) {
    auto pool = DpdkPool::create(each);
    if (!pool) return tl::unexpected(std::move(pool).error());
    pools.push_back(std::move(*pool));
  }
  auto device = DpdkDevice::start(options, std::move(pools));
  if (!device) return tl::unexpected(std::move(device).error());
  std::vector<std::unique_ptr<port::Port>> ports;
  for (std::uint16_t queue = 0; queue < frames.size(); ++queue) {
    ports.push_back(std::make_unique<DpdkPort>(*device, queue));
  }
  return ports;
}

}  // namespace

Result<std::shared_ptr<DpdkDevice>> DpdkDevice::start(
    const DpdkOptions& options, std::vector<std::unique_ptr<DpdkPool>> pools) {
  std::shared_ptr<DpdkDevice> device(new DpdkDevice);
  device->name_ = options.device;
  device->pools_ = std::move(pools);
  if (auto done = device->set_up(options); !done) return tl::unexpected(done.error());
  return device;
}

DpdkDevice::~DpdkDevice() {
  if (started_) rte_eth_dev_stop(id_);
  if (!probed_) return;
  rte_eth_dev_info info{};
  const bool known = rte_eth_dev_info_get(id_, &info) == 0;
  rte_eth_dev_close(id_);
  if (known && info.device != nullptr) rte_dev_remove(info.device);
}

Result<void> DpdkDevice::set_up(const DpdkOptions& options) {
  if (rte_eth_dev_get_port_by_name(name_.c_str(), &id_) == 0) {
    return base::fail(ErrorCode::kExists,
                      fmt::format("DPDK device {} is in use by this program already", name_));
  }
  const int error = rte_dev_probe(options.devargs.c_str());
  if (error != 0 || rte_eth_dev_get_port_by_name(name_.c_str(), &id_) != 0) {
    return base::fail(
        ErrorCode::kNotFound,
        fmt::format("DPDK has no network device '{}' ({}); a PCI device must be bound "
                    "to vfio-pci (dpdk-devbind.py) and eal= given without --no-pci",
                    options.devargs, rte_strerror(error < 0 ? -error : error)));
  }
  probed_ = true;
  if (auto done = set_up_queues(options); !done) return done;
  if (options.mtu != 0) {
    if (const int failed = rte_eth_dev_set_mtu(id_, options.mtu); failed != 0) {
      return fail_device(name_, fmt::format("set the MTU {} of", options.mtu), failed);
    }
  }
  if (const int failed = rte_eth_dev_start(id_); failed != 0) {
    return fail_device(name_, "start", failed);
  }
  started_ = true;
  // Not all devices know it; those that do not receive everything.
  if (options.promiscuous) static_cast<void>(rte_eth_promiscuous_enable(id_));
  return {};
}

Result<void> DpdkDevice::set_up_queues(const DpdkOptions& options) {
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(id_, &info); error != 0) {
    return fail_device(name_, "ask", error);
  }
  const auto queues = static_cast<std::uint16_t>(pools_.size());
  if (queues > info.max_rx_queues || queues > info.max_tx_queues) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("DPDK device {} has {} receive and {} send queues: lower queues={}", name_,
                    info.max_rx_queues, info.max_tx_queues, queues));
  }
  rte_eth_conf wish{};
  chains_ = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  if (chains_) wish.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  if (queues > 1 && info.flow_type_rss_offloads != 0) {
    wish.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    wish.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
  }
  if (const int error = rte_eth_dev_configure(id_, queues, queues, &wish); error != 0) {
    return fail_device(name_, "configure", error);
  }
  std::uint16_t rx = options.rx_descs;
  std::uint16_t tx = options.tx_descs;
  static_cast<void>(rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx, &tx));
  for (std::uint16_t queue = 0; queue < queues; ++queue) {
    int error = rte_eth_rx_queue_setup(id_, queue, rx, static_cast<unsigned>(SOCKET_ID_ANY),
                                       nullptr, pools_[queue]->mempool());
    if (error == 0) {
      error = rte_eth_tx_queue_setup(id_, queue, tx, static_cast<unsigned>(SOCKET_ID_ANY), nullptr);
    }
    if (error != 0) return fail_device(name_, fmt::format("set up queue {} of", queue), error);
  }
  return {};
}

}  // namespace ringway::driver

extern "C" __attribute__((visibility("default")))
const ringway::driver::DpdkModule ringway_dpdk_module;
const ringway::driver::DpdkModule ringway_dpdk_module{ringway::driver::DpdkModule::kVersion,
                                                      sizeof(ringway::driver::DpdkOptions),
                                                      ringway::driver::open};
