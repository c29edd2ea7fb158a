// A memif slave that says anything on its control channel, with files and eventfds of its own, and
// writes anything into rings and buffers: the master stays within the memory, gives no frame away,
// and goes on.

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "driver/memif/memif_port.h"
#include "driver/memif/test_slave.h"
#include "fuzz/require.h"
#include "port/packet.h"
#include "port/test_pool.h"

using ringway::fuzz::require;
namespace base = ringway::base;
namespace driver = ringway::driver;
namespace mem = ringway::mem;
namespace memif = ringway::driver::memif;
namespace port = ringway::port;

namespace {

class Input {
 public:
  explicit Input(std::span<const std::byte> bytes) : left_(bytes) {}
  bool empty() const { return left_.empty(); }
  template <typename T>
  T take() {
    T value{};
    const std::size_t n = std::min(sizeof value, left_.size());
    std::memcpy(&value, left_.data(), n);
    left_ = left_.subspan(n);
    return value;
  }
  std::span<const std::byte> take(std::size_t most) {
    const auto part = left_.first(std::min(most, left_.size()));
    left_ = left_.subspan(part.size());
    return part;
  }

 private:
  std::span<const std::byte> left_;
};

class Peer {
 public:
  Peer() {
    std::array<int, 2> pair{};
    require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) ==
            0);
    slave_.attach(base::UniqueFd(pair[0]));
    driver::MemifOptions options;
    options.path = "@unused";
    options.master = true;
    port_ = driver::MemifPort::adopt(options, pool_.pool(), base::UniqueFd(pair[1]));
  }

  void step(Input& input) {
    switch (input.take<std::uint8_t>() % 8) {
      case 0: {
        memif::Message message;
        const auto bytes = input.take(48);
        std::copy(bytes.begin(), bytes.end(), message.bytes.begin());
        send(message, input.take<std::uint8_t>());
        break;
      }
      case 1:
        offer();
        break;
      case 2:
        region_.send(input.take<memif::Desc>());
        break;
      case 3:
        region_.post(input.take<memif::Desc>());
        break;
      case 4: {
        const std::size_t at = input.take<std::uint16_t>() % region_.buffers();
        const auto bytes = input.take(16);
        std::memcpy(region_.base() + at, bytes.data(),
                    std::min<std::size_t>(bytes.size(), region_.size() - at));
        break;
      }
      case 5:
        receive();
        break;
      case 6:
        transmit(input.take<std::uint16_t>() % 3000);
        break;
      default:
        turn();
    }
  }

  void end() {
    turn();
    receive();
    port_.reset();
    require(pool_.whole());
  }

 private:
  void send(const memif::Message& message, std::uint8_t which) {
    const std::array fds{-1, region_.fd(), soft_.fd(), slave_.bell()};
    slave_.send(message, fds[which % fds.size()]);
  }
  void offer() {
    slave_.send(memif::TestSlave::init(0));
    slave_.send(memif::TestSlave::add_region(0, region_.size()), region_.fd());
    slave_.send(memif::TestSlave::add_region(1, soft_.size()), soft_.fd());
    slave_.send(memif::TestSlave::add_ring(true, 0, 0, region_.log2()), slave_.bell());
    slave_.send(memif::TestSlave::add_ring(false, 0, region_.m2s_offset(), region_.log2()),
                slave_.bell());
    slave_.send(memif::Message(memif::MessageType::kConnect));
    turn();
  }
  void turn() {
    now_ = now_ + base::Duration::milliseconds(10);
    port_->advance(now_);
  }
  void receive() {
    std::array<mem::FrameDesc, 32> descs;
    std::span<const mem::FrameDesc> left(descs.data(), port_->rx_burst(descs));
    while (!left.empty()) {
      const std::size_t pieces = port::pieces_of(left);
      require(pieces != 0 && port::lies_within(pool_.pool(), left.first(pieces)));
      port::free_packet(pool_.pool(), left.first(pieces));
      left = left.subspan(pieces);
    }
  }
  void transmit(std::size_t length) {
    mem::FrameDesc desc = pool_.frame({});
    desc.length = static_cast<std::uint16_t>(length);
    if (port_->tx_burst({&desc, 1}) == 0) pool_.pool().free(desc.slot);
  }

  port::TestPool pool_{64};
  memif::TestRegion region_{4};
  memif::TestRegion soft_{4, 0};
  memif::TestSlave slave_;
  std::unique_ptr<driver::MemifPort> port_;
  base::Instant now_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(std::as_bytes(std::span(data, size)));
  Peer peer;
  while (!input.empty()) peer.step(input);
  peer.end();
  return 0;
}
