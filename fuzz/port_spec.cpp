// Any text as a port spec: it is refused in one line, or taken apart so that it can be put together
// again.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "driver/dpdk/dpdk_options.h"
#include "driver/loop/loop.h"
#include "driver/memif/memif_options.h"
#include "driver/open.h"
#include "driver/packet/packet_device.h"
#include "driver/pcap/replay.h"
#include "driver/tap/tap_device.h"
#include "fuzz/require.h"
#include "port/spec.h"

using ringway::fuzz::require;
namespace driver = ringway::driver;
namespace port = ringway::port;

namespace {

template <typename T>
void one_line(const ringway::base::Result<T>& result) {
  if (!result) require(!result.error().what.empty());
}

std::string together(const port::Spec& spec) {
  std::string text = spec.driver + ":" + spec.name;
  for (const auto& [key, value] : spec.options)
    text.append(",").append(key).append("=").append(value);
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto spec = port::Spec::parse(text);
  one_line(spec);
  if (!spec) return 0;
  const auto again = port::Spec::parse(together(*spec));
  require(again && again->driver == spec->driver && again->name == spec->name &&
          again->options == spec->options);
  const auto loop = driver::LoopOptions::parse(*spec);
  one_line(loop);
  if (loop) require(loop->size >= 1 && loop->mtu >= 576 && loop->faults.loss_ppm <= 1'000'000);
  const auto tap = driver::TapOptions::parse(*spec);
  one_line(tap);
  if (tap) require(!tap->name.empty() && tap->name.size() < 16);
  one_line(driver::ReplayOptions::parse(*spec));
  const auto packet = driver::PacketOptions::parse(*spec);
  one_line(packet);
  if (packet) require(packet->fd >= 0 || (!packet->name.empty() && packet->name.size() < 16));
  const auto memif = driver::MemifOptions::parse(*spec);
  one_line(memif);
  if (memif) require(memif->path.size() < 108 && (memif->ring & (memif->ring - 1)) == 0);
  one_line(driver::DpdkOptions::parse(*spec));
  one_line(driver::queue_count(text));
  return 0;
}
