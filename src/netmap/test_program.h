#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "base/sys.h"
#include "netmap/abi_more.h"
#include "netmap/hooks.h"

/// A netmap program in small, which calls what the shim would call for it.
namespace ringway::netmap::testing {

inline int wait_others(pollfd* items, nfds_t count, std::int64_t ns, const sigset_t*) {
  timespec time{ns / 1'000'000'000, ns % 1'000'000'000};
  const int n = base::sys::ppoll(items, count, ns < 0 ? nullptr : &time);
  return n < 0 ? -errno : n;
}

/// Each test process has a network of its own, which it removes.
class Environment : public ::testing::Environment {
 public:
  void SetUp() override {
    ::setenv("RINGWAY_DIR", ("/tmp/netmap-test-" + std::to_string(::getpid())).c_str(), 1);
  }
  void TearDown() override { leave(); }
};

class Program {
 public:
  Program() : fd_(hooks::open_device(O_RDWR)) {}
  /// Opens the device and binds it; error() tells.
  explicit Program(std::string_view name, std::uint64_t flags = 0,
                   std::uint32_t mode = abi::kModeAllNic)
      : Program() {
    request.nr_mode = mode;
    request.nr_flags = flags;
    bind(name);
  }
  Program(const Program&) = delete;
  ~Program() { close(); }

  int bind(std::string_view name, abi::OptionHeader* options = nullptr) {
    error_ = control(abi::kReqRegister, name, &request, options);
    if (error_ == 0) map();
    return error_;
  }
  int control(abi::Request type, std::string_view name, void* body,
              abi::OptionHeader* options = nullptr) {
    abi::Header header{};
    header.nr_version = abi::kApi;
    header.nr_reqtype = type;
    name.copy(header.nr_name, sizeof header.nr_name - 1);
    header.nr_body = reinterpret_cast<std::uint64_t>(body);
    header.nr_options = reinterpret_cast<std::uint64_t>(options);
    const int result = -hooks::ioctl(fd_, abi::kControl, &header);
    name_back = header.nr_name;
    return result;
  }
  void close() {
    if (base_ != nullptr) ::munmap(base_, request.nr_memsize);
    base_ = nullptr;
    if (fd_ >= 0) hooks::close_fd(fd_);
    fd_ = -1;
  }

  int fd() const { return fd_; }
  int error() const { return error_; }
  abi::If* nifp() const { return reinterpret_cast<abi::If*>(base_ + request.nr_offset); }
  abi::Ring& tx(std::uint32_t i = 0) const { return ring(i); }
  abi::Ring& rx(std::uint32_t i = 0) const {
    return ring(nifp()->ni_tx_rings + nifp()->ni_host_tx_rings + i);
  }
  static char* buffer(abi::Ring& ring, std::uint32_t index) {
    return reinterpret_cast<char*>(&ring) + ring.buf_ofs + std::uint64_t{index} * ring.nr_buf_size;
  }

  /// Puts a frame from `source` to `destination` (last byte of their addresses) into the ring.
  void put(int destination, int source, std::string_view payload, std::uint16_t flags = 0) {
    abi::Ring& ring = tx();
    abi::Slot& slot = ring.slots()[ring.head];
    char* to = buffer(ring, slot.buf_idx);
    std::memset(to, 0, 14);
    if (destination < 0) std::memset(to, 0xff, 6);
    if (destination >= 0) to[0] = 2;
    to[5] = static_cast<char>(destination);
    to[6] = 2;
    to[11] = static_cast<char>(source);
    payload.copy(to + 14, ring.nr_buf_size - 14);
    slot.len = static_cast<std::uint16_t>(14 + payload.size());
    slot.flags = flags;
    ring.head = ring.cur = ring.head + 1 == ring.num_slots ? 0 : ring.head + 1;
  }
  int sync_tx() { return hooks::ioctl(fd_, abi::kTxSync, nullptr); }
  int sync_rx() { return hooks::ioctl(fd_, abi::kRxSync, nullptr); }
  std::uint32_t available() {
    const abi::Ring& ring = rx();
    return (ring.tail + ring.num_slots - ring.head) % ring.num_slots;
  }
  /// Syncs and takes the next frame's payload; "-" if there is none.
  std::string get() {
    sync_rx();
    abi::Ring& ring = rx();
    if (ring.head == ring.tail) return "-";
    last = ring.slots()[ring.head];
    const char* from = buffer(ring, last.buf_idx);
    ring.head = ring.cur = ring.head + 1 == ring.num_slots ? 0 : ring.head + 1;
    return last.len < 14 ? "" : std::string(from + 14, last.len - 14U);
  }
  short poll(short events, int milliseconds) {
    pollfd item{fd_, events, 0};
    const int n = wait_mixed(&item, 1, milliseconds * 1'000'000L, nullptr, &wait_others);
    return n < 0 ? static_cast<short>(n) : item.revents;
  }

  abi::Register request{};
  abi::Slot last{};
  std::string name_back;

 private:
  void map() {
    void* mapped =
        hooks::mmap(nullptr, request.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    base_ = mapped == MAP_FAILED ? nullptr : static_cast<char*>(mapped);
  }
  abi::Ring& ring(std::uint32_t i) const {
    return *reinterpret_cast<abi::Ring*>(reinterpret_cast<char*>(nifp()) + nifp()->ring_ofs()[i]);
  }

  int fd_ = -1;
  int error_ = 0;
  char* base_ = nullptr;
};

}  // namespace ringway::netmap::testing
