// DPDK's side of `ringway bench packet`: the same work on rte_ring, rte_mempool, net_memif and
// net_null. Built where libdpdk is; nothing of Ringway is in it.

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/packet/work.h"

namespace ringway::bench {
namespace {

constexpr unsigned kCache = 256;
constexpr unsigned kBuffers = 8191;
constexpr std::uint16_t kDescriptors = 1024;

int fail(const char* what) {
  std::fprintf(stderr, "rw-packet-dpdk: %s\n", what);
  return 1;
}

/// Small pages unless there are huge ones: as Ringway has it.
bool start(int cpu, const std::vector<std::string>& devices) {
  std::vector<std::string> words{"rw-packet-dpdk",
                                 "--no-pci",
                                 "--no-huge",
                                 "-m",
                                 "256",
                                 "--iova-mode=va",
                                 "--single-file-segments",  // net_memif's zero copy needs it
                                 "--no-telemetry",
                                 "--log-level=1",
                                 "--no-shconf",
                                 "-l",
                                 std::to_string(cpu < 0 ? 0 : cpu),
                                 "--file-prefix=rw" + std::to_string(::getpid())};
  for (const std::string& device : devices) words.push_back("--vdev=" + device);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0;
}

rte_mempool* make_buffers() {
  return rte_pktmbuf_pool_create("frames", kBuffers, kCache, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                 SOCKET_ID_ANY);
}

bool start_port(std::uint16_t port, rte_mempool* buffers) {
  rte_eth_conf configuration{};
  return rte_eth_dev_configure(port, 1, 1, &configuration) == 0 &&
         rte_eth_rx_queue_setup(port, 0, kDescriptors, SOCKET_ID_ANY, nullptr, buffers) == 0 &&
         rte_eth_tx_queue_setup(port, 0, kDescriptors, SOCKET_ID_ANY, nullptr) == 0 &&
         rte_eth_dev_start(port) == 0;
}

int run_ring(const Arguments& arguments) {
  if (!start(arguments.cpu, {})) return fail("EAL does not start");
  rte_ring* ring = rte_ring_create("ring", 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (ring == nullptr) return fail("no ring");
  std::atomic<bool> stop = false;
  std::thread producer([&] {
    pin(arguments.other_cpu);
    std::array<void*, kBatch> items{};
    std::uintptr_t next = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      for (auto& item : items) item = reinterpret_cast<void*>(next++);
      unsigned done = 0;
      while (done < kBatch && !stop.load(std::memory_order_relaxed)) {
        const unsigned n =
            rte_ring_sp_enqueue_burst(ring, items.data() + done, kBatch - done, nullptr);
        done += n;
        if (n == 0) rte_pause();
      }
    }
  });
  pin(arguments.cpu);
  std::array<void*, kBatch> items{};
  std::uintptr_t expected = 0;
  bool sound = true;
  Meter meter(arguments.seconds);
  for (unsigned n = 0; !meter.turn(n);) {
    n = rte_ring_sc_dequeue_burst(ring, items.data(), kBatch, nullptr);
    for (unsigned i = 0; i < n; ++i) {
      sound &= reinterpret_cast<std::uintptr_t>(items[i]) == expected++;
    }
    if (n == 0) rte_pause();
  }
  stop = true;
  producer.join();
  if (!sound || !meter.began()) return fail("the ring lost or mixed up items");
  print_rate(meter.count(), meter.seconds());
  return 0;
}

int run_pool(const Arguments& arguments) {
  if (!start(arguments.cpu, {})) return fail("EAL does not start");
  rte_mempool* pool = rte_mempool_create("pool", kBuffers, 2048, kCache, 0, nullptr, nullptr,
                                         nullptr, nullptr, SOCKET_ID_ANY, 0);
  if (pool == nullptr) return fail("no mempool");
  std::array<void*, kBatch> items{};
  Meter meter(arguments.seconds);
  do {
    if (rte_mempool_get_bulk(pool, items.data(), kBatch) != 0) return fail("the pool is empty");
    asm volatile("" : : "r"(items.data()) : "memory");
    rte_mempool_put_bulk(pool, items.data(), kBatch);
  } while (!meter.turn(kBatch));
  print_rate(meter.count(), meter.seconds());
  return 0;
}

[[noreturn]] void send_frames(const std::string& device, const Arguments& arguments) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  pin(arguments.other_cpu);
  if (!start(arguments.other_cpu, {device})) std::_Exit(1);
  rte_mempool* buffers = make_buffers();
  if (buffers == nullptr || !start_port(0, buffers)) std::_Exit(1);
  std::array<rte_mbuf*, kBatch> burst{};
  for (std::uint64_t number = 0;;) {
    if (rte_pktmbuf_alloc_bulk(buffers, burst.data(), kBatch) != 0) {
      // Those that were sent are given back by sending.
      rte_eth_tx_burst(0, 0, nullptr, 0);
      rte_pause();
      continue;
    }
    for (rte_mbuf* frame : burst) {
      frame->data_len = static_cast<std::uint16_t>(arguments.size);
      frame->pkt_len = arguments.size;
      write_frame(rte_pktmbuf_mtod(frame, void*), arguments.size, number++);
    }
    for (std::uint16_t done = 0; done < kBatch;) {
      const std::uint16_t n =
          rte_eth_tx_burst(0, 0, burst.data() + done, static_cast<std::uint16_t>(kBatch - done));
      done = static_cast<std::uint16_t>(done + n);
      if (n == 0) rte_pause();
    }
  }
}

int receive_frames(const std::string& device, const Arguments& arguments) {
  pin(arguments.cpu);
  if (!start(arguments.cpu, {device})) return fail("EAL does not start");
  rte_mempool* buffers = make_buffers();
  if (buffers == nullptr || !start_port(0, buffers)) return fail("the port does not start");
  std::array<rte_mbuf*, kBatch> burst{};
  std::uint64_t number = 0;
  bool sound = true;
  Meter meter(arguments.seconds);
  for (std::uint16_t n = 0; !meter.turn(n);) {
    n = rte_eth_rx_burst(0, 0, burst.data(), kBatch);
    for (std::uint16_t i = 0; i < n; ++i) {
      const auto* data = rte_pktmbuf_mtod(burst[i], const void*);
      // Frames that were sent while the link came up may be lost: the first one sets the number.
      if (number == 0) std::memcpy(&number, data, sizeof number);
      sound &= read_frame(data, burst[i]->data_len) == expected_sum(arguments.size, number++);
    }
    rte_pktmbuf_free_bulk(burst.data(), n);
    if (n == 0) rte_pause();
  }
  if (!sound || !meter.began())
    return fail(sound ? "no frame came" : "frames were lost or mixed up");
  print_rate(meter.count(), meter.seconds());
  return 0;
}

int run_memif(const Arguments& arguments) {
  const std::string socket =
      "socket=/tmp/rw-packet-" + std::to_string(::getpid()) + ".sock,socket-abstract=no";
  const std::string common = ",id=0,rsize=10,bsize=2048," + socket;
  const pid_t child = ::fork();
  if (child == 0) {
    ::usleep(500'000);  // the server makes the socket first
    send_frames("net_memif0,role=client,zero-copy=yes" + common, arguments);
  }
  const int status = receive_frames("net_memif0,role=server" + common, arguments);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::unlink(socket.substr(7, socket.find(',') - 7).c_str());
  return status;
}

/// As testpmd's io-forward on one port.
int run_null(const Arguments& arguments) {
  pin(arguments.cpu);
  if (!start(arguments.cpu, {"net_null0,size=" + std::to_string(arguments.size)})) {
    return fail("EAL does not start");
  }
  rte_mempool* buffers = make_buffers();
  if (buffers == nullptr || !start_port(0, buffers)) return fail("the port does not start");
  std::array<rte_mbuf*, kBatch> burst{};
  Meter meter(arguments.seconds);
  for (std::uint16_t n = 0; !meter.turn(n);) {
    n = rte_eth_rx_burst(0, 0, burst.data(), kBatch);
    const std::uint16_t sent = rte_eth_tx_burst(0, 0, burst.data(), n);
    if (sent < n) rte_pktmbuf_free_bulk(burst.data() + sent, static_cast<unsigned>(n - sent));
  }
  print_rate(meter.count(), meter.seconds());
  return 0;
}

int run(const Arguments& arguments) {
  const std::string_view mode = arguments.mode;
  if (mode == "ring") return run_ring(arguments);
  if (mode == "pool") return run_pool(arguments);
  if (mode == "memif") return run_memif(arguments);
  if (mode == "null") return run_null(arguments);
  return fail(
      "usage: rw-packet-dpdk ring|pool|memif|null [--seconds S] [--size N] [--cpu N] "
      "[--other-cpu N]");
}

}  // namespace
}  // namespace ringway::bench

int main(int argc, char** argv) {
  const int status = ringway::bench::run(ringway::bench::parse_arguments(argc, argv));
  std::fflush(stdout);
  std::_Exit(status);  // EAL's own end waits for threads of drivers
}
