#include "driver/dpdk/dpdk_options.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

namespace ringway::driver {
namespace {

using base::ErrorCode;
using base::Result;

enum DpdkOption : std::uint8_t { kArgs, kEal, kRx, kTx, kMtu, kPromiscuous };

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (end != at) words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

/// Beside the program, in the build tree and after installation.
std::string module_path() {
  std::array<char, PATH_MAX> self{};
  const ssize_t n = ::readlink("/proc/self/exe", self.data(), self.size() - 1);
  const std::string path(self.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  return path.substr(0, path.rfind('/')) + "/../lib/ringway/modules/libringway-dpdk.so";
}

}  // namespace

Result<DpdkOptions> DpdkOptions::parse(const port::Spec& spec) {
  const auto values = port::SpecValues::read(spec, kDpdkOptions);
  if (!values) return tl::unexpected(values.error());
  if (spec.name.empty()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a dpdk port needs a device; expected dpdk:DEVICE like dpdk:net_null0 or "
                      "dpdk:0000:01:00.0");
  }
  DpdkOptions options;
  options.device = spec.name;
  options.devargs = spec.name;
  if (values->given(kArgs)) options.devargs += "," + values->text(kArgs);
  std::replace(options.devargs.begin(), options.devargs.end(), ';', ',');
  options.eal = words_of(values->text(kEal));
  options.rx_descs = static_cast<std::uint16_t>(values->number(kRx));
  options.tx_descs = static_cast<std::uint16_t>(values->number(kTx));
  if (values->given(kMtu)) options.mtu = static_cast<std::uint16_t>(values->number(kMtu));
  options.promiscuous = values->number(kPromiscuous) != 0;
  return options;
}

Result<const DpdkModule*> load_dpdk() {
  static void* library = nullptr;
  const std::string path = module_path();
  if (library == nullptr) library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    return base::fail(ErrorCode::kUnavailable,
                      fmt::format("DPDK is not to be had ({}): apt install libdpdk-dev, then build "
                                  "Ringway again",
                                  why == nullptr ? "unknown" : why));
  }
  const auto* module = static_cast<const DpdkModule*>(::dlsym(library, "ringway_dpdk_module"));
  if (module == nullptr || module->version != DpdkModule::kVersion ||
      module->options_bytes != sizeof(DpdkOptions)) {
    return base::fail(ErrorCode::kUnavailable,
                      fmt::format("{} is of another version of Ringway: install all of one", path));
  }
  return module;
}

Result<std::vector<std::unique_ptr<port::Port>>> open_dpdk(const DpdkOptions& options,
                                                           std::span<const Frames> frames) {
  const auto module = load_dpdk();
  if (!module) return tl::unexpected(module.error());
  return (*module)->open(options, frames);
}

Result<void> probe_dpdk() {
  if (::access(module_path().c_str(), R_OK) != 0) {
    return base::fail(ErrorCode::kUnavailable,
                      "built without DPDK: apt install libdpdk-dev, then build Ringway again");
  }
  return {};
}

}  // namespace ringway::driver
