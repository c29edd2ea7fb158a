// Ringway's side of `ringway bench packet`.

#include <immintrin.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include "bench/packet/work.h"
#include "driver/link/link_memory.h"
#include "mem/frame_pool.h"
#include "ring/slot_receiver.h"
#include "ring/slot_sender.h"
#include "ring/spsc_ring.h"

namespace ringway::bench {
namespace {

int fail(const char* what) {
  std::fprintf(stderr, "rw-packet: %s\n", what);
  return 1;
}

/// Pointers from one thread to another, 32 at a time.
int run_ring(const Arguments& arguments) {
  using Ring = ring::SpscRing<std::uint64_t, 1024>;
  auto ring = std::make_unique<Ring>();
  std::atomic<bool> stop = false;
  std::thread producer([&] {
    pin(arguments.other_cpu);
    std::array<std::uint64_t, kBatch> items{};
    std::uint64_t next = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      for (auto& item : items) item = next++;
      std::span<const std::uint64_t> left(items);
      while (!left.empty() && !stop.load(std::memory_order_relaxed)) {
        const std::size_t n = ring->push(left);
        left = left.subspan(n);
        if (n == 0) _mm_pause();
      }
    }
  });
  pin(arguments.cpu);
  std::array<std::uint64_t, kBatch> items{};
  std::uint64_t expected = 0;
  bool sound = true;
  Meter meter(arguments.seconds);
  for (std::size_t n = 0; !meter.turn(static_cast<std::uint32_t>(n));) {
    n = ring->pop(items);
    for (std::size_t i = 0; i < n; ++i) sound &= items[i] == expected++;
    if (n == 0) _mm_pause();
  }
  stop = true;
  producer.join();
  if (!sound || !meter.began()) return fail("the ring lost or mixed up items");
  print_rate(meter.count(), meter.seconds());
  return 0;
}

/// 32 frames taken and given back, in one thread.
int run_pool(const Arguments& arguments) {
  constexpr std::uint32_t kSlots = 8192;
  constexpr std::uint32_t kSlotBytes = 2048;
  pin(arguments.cpu);
  std::vector<std::byte> memory(std::size_t{kSlots} * kSlotBytes);
  mem::FramePoolState state{};
  state.slot_size = kSlotBytes;
  state.slot_count = kSlots;
  mem::FramePool pool(&state, memory.data());
  std::array<std::uint32_t, kBatch> slots{};
  Meter meter(arguments.seconds);
  do {
    for (auto& slot : slots) slot = pool.allocate();
    asm volatile("" : : "r"(slots.data()) : "memory");
    for (const auto slot : slots) pool.free(slot);
  } while (!meter.turn(kBatch));
  if (pool.free_count() != kSlots) return fail("the pool lost frames");
  print_rate(meter.count(), meter.seconds());
  return 0;
}

/// Frames written into a link by one process...
[[noreturn]] void send_frames(const driver::LinkMemory& memory, const Arguments& arguments) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  pin(arguments.other_cpu);
  auto state = std::make_unique<ring::SenderState>();
  ring::SlotSender sender(state.get(), &memory.direction(0), memory.region(0));
  for (std::uint64_t number = 0;;) {
    for (std::uint32_t i = 0; i < kBatch; ++i) {
      const auto room = sender.reserve(arguments.size);
      if (room.data == nullptr) {
        _mm_pause();
        break;
      }
      write_frame(room.data, arguments.size, number++);
      sender.commit(room, arguments.size, {});
    }
  }
}

/// ...and read by another.
int receive_frames(const driver::LinkMemory& memory, const Arguments& arguments) {
  pin(arguments.cpu);
  auto state = std::make_unique<ring::ReceiverState>();
  ring::SlotReceiver receiver(state.get(), &memory.direction(0), memory.region(0));
  receiver.set_hot(true);
  std::uint64_t number = 0;
  bool sound = true;
  Meter meter(arguments.seconds);
  for (std::uint32_t n = 0; !meter.turn(n);) {
    std::array<std::uint32_t, kBatch> slots;
    std::size_t kept = 0;
    for (n = 0; n < kBatch; ++n) {
      const auto frame = receiver.next();
      if (frame.data == nullptr) break;
      sound &= read_frame(frame.data, frame.desc.length) == expected_sum(arguments.size, number++);
      if ((frame.desc.flags & mem::kFrameInline) == 0) slots[kept++] = frame.desc.slot;
    }
    if (kept != 0) receiver.release(slots.data(), kept);
    if (n != 0) receiver.publish();
    if (n == 0) _mm_pause();
  }
  if (!sound || !meter.began()) return fail("the link lost or mixed up frames");
  print_rate(meter.count(), meter.seconds());
  return 0;
}

int run_link(const Arguments& arguments) {
  const auto fd = driver::LinkMemory::create();
  if (!fd) return fail(fd.error().what.c_str());
  const auto memory = driver::LinkMemory::map(*fd);
  if (!memory) return fail(memory.error().what.c_str());
  const pid_t child = ::fork();
  if (child == 0) send_frames(*memory, arguments);
  const int status = receive_frames(*memory, arguments);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return status;
}

int run(const Arguments& arguments) {
  const std::string_view mode = arguments.mode;
  if (mode == "ring") return run_ring(arguments);
  if (mode == "pool") return run_pool(arguments);
  if (mode == "link") return run_link(arguments);
  return fail("usage: rw-packet ring|pool|link [--seconds S] [--size N] [--cpu N] [--other-cpu N]");
}

}  // namespace
}  // namespace ringway::bench

int main(int argc, char** argv) {
  return ringway::bench::run(ringway::bench::parse_arguments(argc, argv));
}
