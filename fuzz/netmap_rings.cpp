#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "netmap/abi.h"
#include "netmap/hooks.h"

// A program that writes anything at all into its rings: slots, pointers, lengths, between syncs of
// both ends. Whatever it does, nothing outside the mapping is touched.

namespace {

namespace abi = ringway::netmap::abi;
namespace hooks = ringway::netmap::hooks;

struct Port {
  int fd = -1;
  char* base = nullptr;
  abi::Register request{};

  explicit Port(const char* name) {
    fd = hooks::open_device(2);
    request.nr_mode = abi::kModeAllNic;
    request.nr_tx_slots = request.nr_rx_slots = 16;
    abi::Header header{};
    header.nr_version = abi::kApi;
    header.nr_reqtype = abi::kReqRegister;
    std::strncpy(header.nr_name, name, sizeof header.nr_name - 1);
    header.nr_body = reinterpret_cast<std::uint64_t>(&request);
    if (hooks::ioctl(fd, abi::kControl, &header) != 0) std::abort();
    void* mapped =
        hooks::mmap(nullptr, request.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) std::abort();
    base = static_cast<char*>(mapped);
  }
  abi::Ring& ring(unsigned which) {
    auto* nifp = reinterpret_cast<abi::If*>(base + request.nr_offset);
    const std::int64_t offset = nifp->ring_ofs()[which == 0 ? 0 : 2];
    return *reinterpret_cast<abi::Ring*>(reinterpret_cast<char*>(nifp) + offset);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int ready =
      ::setenv("RINGWAY_NETWORK", "fuzz", 1) + std::atexit(&ringway::netmap::leave);
  (void)ready;
  static Port ports[] = {Port("vale0:a"), Port("vale0:b"), Port("x{1"), Port("x}1")};
  // Steps of 8 bytes: port and action, place, value.
  for (; size >= 8; data += 8, size -= 8) {
    Port& port = ports[data[0] & 3];
    abi::Ring& ring = port.ring(data[0] >> 2 & 1);
    abi::Slot& slot = ring.slots()[data[1] & 15];
    std::uint32_t value = 0;
    std::memcpy(&value, data + 4, sizeof value);
    switch (data[0] >> 3 & 7) {
      case 0:
        ring.head = value;
        break;
      case 1:
        ring.head = ring.cur = data[1] & 15;
        break;
      case 2:
        ring.tail = value;
        break;
      case 3:
        slot.buf_idx = value;
        break;
      case 4:
        slot.len = static_cast<std::uint16_t>(value);
        break;
      case 5:
        slot.flags = static_cast<std::uint16_t>(value);
        break;
      case 6:
        hooks::ioctl(port.fd, abi::kTxSync, nullptr);
        break;
      default:
        hooks::ioctl(port.fd, abi::kRxSync, nullptr);
        break;
    }
  }
  return 0;
}
