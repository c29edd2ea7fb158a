#include "driver/open.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "driver/dpdk/dpdk_options.h"
#include "driver/loop/loop.h"
#include "driver/memif/memif_port.h"
#include "driver/packet/packet_port.h"
#include "driver/pcap/replay.h"
#include "driver/tap/tap_port.h"
#include "driver/xdp/xdp_device.h"

namespace ringway::driver {
namespace {

using base::ErrorCode;
using base::Result;
using port::Spec;

constexpr std::uint32_t kMostQueues = 64;

Queues one(std::unique_ptr<port::Port> port) {
  Queues queues;
  queues.push_back(std::move(port));
  return queues;
}

std::vector<mem::FramePool*> pools_of(std::span<const Frames> frames) {
  std::vector<mem::FramePool*> pools;
  for (const Frames& each : frames) pools.push_back(each.pool);
  return pools;
}

Result<void> probe_nothing() { return {}; }

Result<Queues> open_loop_spec(const Spec& spec, std::span<const Frames> frames) {
  const auto options = LoopOptions::parse(spec);
  if (!options) return tl::unexpected(options.error());
  return one(open_loopback(*options, *frames[0].pool));
}

Result<Queues> open_pcap_spec(const Spec& spec, std::span<const Frames> frames) {
  const auto options = ReplayOptions::parse(spec);
  if (!options) return tl::unexpected(options.error());
  auto port = open_replay(*options, *frames[0].pool);
  if (!port) return tl::unexpected(std::move(port).error());
  return one(std::move(*port));
}

Result<Queues> open_tap_spec(const Spec& spec, std::span<const Frames> frames) {
  const auto options = TapOptions::parse(spec);
  if (!options) return tl::unexpected(options.error());
  return TapPort::open_queues(*options, pools_of(frames));
}

Result<Queues> open_packet_spec(const Spec& spec, std::span<const Frames> frames) {
  const auto options = PacketOptions::parse(spec);
  if (!options) return tl::unexpected(options.error());
  return PacketPort::open(*options, pools_of(frames));
}

Result<Queues> open_xdp_spec(const Spec& spec, std::span<const Frames> frames) {
  const auto options = XdpOptions::parse(spec);
  if (!options) return tl::unexpected(options.error());
  auto port = open_xdp(*options, *frames[0].pool);
  if (!port) return tl::unexpected(std::move(port).error());
  return one(std::move(*port));
}

Result<Queues> open_memif_spec(const Spec& spec, std::span<const Frames> frames) {
  const auto options = MemifOptions::parse(spec);
  if (!options) return tl::unexpected(options.error());
  auto port = MemifPort::open(*options, frames[0]);
  if (!port) return tl::unexpected(std::move(port).error());
  return one(std::move(*port));
}

Result<Queues> open_dpdk_spec(const Spec& spec, std::span<const Frames> frames) {
  const auto options = DpdkOptions::parse(spec);
  if (!options) return tl::unexpected(options.error());
  return open_dpdk(*options, frames);
}

constexpr std::array kDrivers{
    Driver{"tap", "tap:NAME,ip=ADDRESS/LENGTH", "an interface of the local kernel", kMostQueues,
           kTapOptions, open_tap_spec, probe_tap},
    Driver{"packet", "packet:INTERFACE", "an interface of the kernel through a packet socket",
           kMostQueues, kPacketOptions, open_packet_spec, probe_packet},
    Driver{"xdp", "xdp:INTERFACE", "all frames of a network device, by AF_XDP", 1, kXdpOptions,
           open_xdp_spec, probe_xdp},
    Driver{"memif", "memif:PATH,role=slave,id=0", "a VPP or DPDK program of this machine", 1,
           kMemifOptions, open_memif_spec, probe_nothing},
    Driver{"dpdk", "dpdk:DEVICE", "any device or virtual device of DPDK", kMostQueues, kDpdkOptions,
           open_dpdk_spec, probe_dpdk},
    Driver{"pcap", "pcap:FILE", "replay of a capture file", 1, kReplayOptions, open_pcap_spec,
           probe_nothing},
    Driver{"loop", "loop:", "what is sent comes back, with faults if wanted", 1, kLoopOptions,
           open_loop_spec, probe_nothing},
};

std::string forms() {
  std::string text;
  for (const Driver& driver : kDrivers) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{} ({})", driver.name, driver.form);
  }
  return text;
}

Result<const Driver*> find_driver(std::string_view name) {
  const auto found = std::find_if(kDrivers.begin(), kDrivers.end(),
                                  [name](const Driver& driver) { return driver.name == name; });
  if (found != kDrivers.end()) return &*found;
  return base::fail(ErrorCode::kInvalidArgument,
                    fmt::format("'{}' is no driver; there is: {}", name, forms()));
}

/// Takes `queues=N` out of the spec; 0 if it is not there.
Result<std::uint32_t> take_queues(Spec& spec, const Driver& driver) {
  const auto is_queues = [](const auto& option) { return option.first == "queues"; };
  const auto found = std::find_if(spec.options.begin(), spec.options.end(), is_queues);
  if (found == spec.options.end()) return 0;
  const auto number = port::parse_value(port::OptionKind::kCount, found->second);
  if (!number || *number < 1 || *number > kMostQueues) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("option queues: '{}' is not a number from 1 to {}", found->second,
                                  kMostQueues));
  }
  spec.options.erase(found);
  if (*number > driver.max_queues) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("a {} port has at most {} queue{}: leave out queues={}", driver.name,
                    driver.max_queues, driver.max_queues == 1 ? "" : "s", *number));
  }
  return static_cast<std::uint32_t>(*number);
}

}  // namespace

std::span<const Driver> drivers() { return kDrivers; }

Result<std::uint32_t> queue_count(std::string_view text) {
  auto spec = Spec::parse(text);
  if (!spec) return tl::unexpected(spec.error());
  const auto driver = find_driver(spec->driver);
  if (!driver) return tl::unexpected(driver.error());
  const auto count = take_queues(*spec, **driver);
  if (!count) return tl::unexpected(count.error());
  return std::max<std::uint32_t>(*count, 1);
}

Result<std::unique_ptr<port::Port>> open_port(std::string_view text, const Frames& frames) {
  auto queues = open_queues(text, {&frames, 1});
  if (!queues) return tl::unexpected(std::move(queues).error());
  return std::move(queues->front());
}

Result<Queues> open_queues(std::string_view text, std::span<const Frames> frames) {
  auto spec = Spec::parse(text);
  if (!spec) return tl::unexpected(spec.error());
  const auto driver = find_driver(spec->driver);
  if (!driver) return tl::unexpected(driver.error());
  const auto count = take_queues(*spec, **driver);
  if (!count) return tl::unexpected(count.error());
  const std::size_t most = (*driver)->max_queues;
  if (frames.empty() || frames.size() > most || (*count != 0 && *count != frames.size())) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("{} is opened with {} queues here; write queues={} or leave it "
                                  "out (a {} port has at most {})",
                                  text, frames.size(), frames.size(), spec->driver, most));
  }
  return (*driver)->open(*spec, frames);
}

}  // namespace ringway::driver
