#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "netmap/abi_more.h"
#include "netmap/hooks.h"

// Any bytes as the argument of the two control calls, with body and options that lie in them too.

namespace abi = ringway::netmap::abi;
namespace hooks = ringway::netmap::hooks;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int ready =
      ::setenv("RINGWAY_NETWORK", "fuzz", 1) + std::atexit(&ringway::netmap::leave);
  (void)ready;
  if (size < 2) return 0;
  const int fd = hooks::open_device(2);
  std::vector<std::uint64_t> memory(1024);
  auto* bytes = reinterpret_cast<std::uint8_t*>(memory.data());
  const std::size_t used = std::min(size - 2, memory.size() * 8);
  std::memcpy(bytes, data + 2, used);
  if ((data[0] & 1) != 0) {
    abi::Header header{};
    std::memcpy(&header, bytes, sizeof header);
    if ((data[1] & 1) != 0) header.nr_body = reinterpret_cast<std::uint64_t>(bytes + 128);
    if ((data[1] & 2) != 0) header.nr_options = reinterpret_cast<std::uint64_t>(bytes + 512);
    if ((data[1] & 4) != 0) header.nr_version = abi::kApi;
    if (header.nr_reqtype == abi::kReqKloopStart) header.nr_reqtype = abi::kReqRegister;
    if (header.nr_reqtype == abi::kReqRegister) {
      // Thousands of extra buffers are as good as a few, but slow.
      abi::Register body{};
      std::memcpy(&body, bytes + 128, sizeof body);
      body.nr_extra_bufs &= 0xff;
      std::memcpy(bytes + 128, &body, sizeof body);
    }
    std::memcpy(bytes + 1024, &header, sizeof header);
    hooks::ioctl(fd, abi::kControl, bytes + 1024);
  } else {
    abi::LegacyRequest legacy{};
    std::memcpy(&legacy, bytes, sizeof legacy);
    legacy.nr_arg3 &= 0xff;
    std::memcpy(bytes, &legacy, sizeof legacy);
    hooks::ioctl(fd, (data[1] & 1) != 0 ? abi::kRegister : abi::kGetInfo, bytes);
  }
  hooks::close_fd(fd);
  return 0;
}
