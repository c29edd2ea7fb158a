// A row of frames, with time passing between them, into an Ip with two interfaces: nothing is
// leaked, what is answered parses, and after a minute of silence no fragment is left. Input:
// [interface and options, milliseconds / 16, length (two bytes), frame]...

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "fuzz/require.h"
#include "ip/ip.h"
#include "port/port.h"
#include "wire/packet_view.h"

using ringway::fuzz::require;
namespace base = ringway::base;
namespace ip = ringway::ip;
namespace mem = ringway::mem;
namespace port = ringway::port;
namespace wire = ringway::wire;

namespace {

constexpr std::uint32_t kSlots = 128;
constexpr std::uint32_t kSlotBytes = 4096;

/// What is too large to be made anew for each input. Each run leaves the cells free again.
struct Memory {
  ip::State* state = static_cast<ip::State*>(std::calloc(1, sizeof(ip::State)));
  mem::CellSlab* cells = static_cast<mem::CellSlab*>(std::calloc(1, sizeof(mem::CellSlab)));
  std::vector<std::byte> region = std::vector<std::byte>(std::size_t{kSlots} * kSlotBytes);
  std::vector<std::byte> scratch = std::vector<std::byte>(ip::Reassembly::kScratchBytes);
  mem::RegionTable regions;

  static Memory& get() {
    static Memory memory;
    std::memset(static_cast<void*>(memory.state), 0, sizeof *memory.state);
    return memory;
  }
};

/// Looks at what is sent, and frees it.
class CheckingPort final : public port::Port {
 public:
  explicit CheckingPort(mem::FramePool* pool) : pool_(pool) { caps_.mac = {{2, 0, 0, 0, 0, 1}}; }
  std::string_view name() const override { return "checking"; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc>) override { return 0; }
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override {
    for (const auto& d : packets) {
      wire::PacketView view;
      const std::span<const std::byte> frame(pool_->data(d.slot) + d.offset, d.length);
      require(wire::parse_frame(frame, {}, view) == wire::ParseDrop::kNone);
      pool_->free(d.slot);
    }
    return packets.size();
  }
  base::Result<int> arm() override { return base::fail(base::ErrorCode::kUnavailable, "no fd"); }

 private:
  mem::FramePool* pool_;
  port::Caps caps_;
};

struct Host {
  Host() {
    port::Caps links;
    links.neighbours_known = true;
    links.mtu = 65'535;
    ip.set_interface(0, links);
    ip.add_address(0, {base::IpAddress::loopback_v4(), 8});
    ip.add_address(0, {base::IpAddress::loopback_v6(), 128});
    ip.set_interface(1, port_.caps());
    ip.add_address(1, {base::IpAddress::v4(10, 0, 0, 1), 24});
    ip.add_address(1, {*base::parse_ip("fd00::1"), 64});
    outputs.batches[1] = &batch;
  }

  void take(std::uint8_t options, std::span<const std::byte> frame) {
    wire::PacketView view;
    const ip::Packet packet{static_cast<std::uint8_t>(options & 1), frame, view, batch};
    const auto drop = wire::parse_frame(frame, {.checksums_trusted = (options & 2) != 0}, view);
    if (drop != wire::ParseDrop::kNone) {
      ip.send_parse_problem(packet, drop, now);
      return;
    }
    const ip::Verdict verdict = ip.input(packet, now);
    if (verdict.action == ip::Verdict::Action::kDone) return;
    require(view.end <= verdict.frame.size() && view.payload_offset <= view.end);
    if (verdict.action == ip::Verdict::Action::kError) {
      ip.learn_mtu(verdict.error, now);
    } else if (view.protocol == wire::Protocol::kUdp) {
      ip.send_port_unreachable({packet.interface, verdict.frame, view, batch}, now);
    }
    port::Path path{};
    const bool pending =
        ip.make_path(view.src, {}, now, outputs, path) == ip::PathOutcome::kPending;
    if (!pending) return;
    std::array<std::byte, 64> empty{};
    path.write_header(empty.data(), static_cast<std::uint8_t>(wire::Protocol::kNoNextHeader), 0);
    ip.hold(path, std::span(empty).first(path.header_length));
  }

  Memory& memory = Memory::get();
  mem::FramePoolState pool_state{kSlotBytes, kSlots, 0, 0, 0, 0};
  mem::FramePool pool{&pool_state, memory.region.data()};
  CheckingPort port_{&pool};
  port::TxBatch batch{&port_, &pool, nullptr, 0};
  ip::Ip ip{*memory.state, {memory.cells, &pool, &memory.regions}, memory.scratch};
  ip::Outputs outputs;
  base::Instant now;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Host host;
  auto input = std::as_bytes(std::span(data, size));
  while (input.size() >= 4) {
    host.now = host.now + base::Duration::milliseconds(base::load_u8(&input[1]) * 16);
    if (host.ip.next_deadline() <= host.now) host.ip.poll(host.now, host.outputs);
    const std::size_t length = std::min<std::size_t>(base::load_be16(&input[2]), input.size() - 4);
    // A copy of exactly this size, so that the sanitizer sees a read past the end.
    const std::vector<std::byte> frame(input.begin() + 4,
                                       input.begin() + 4 + static_cast<std::ptrdiff_t>(length));
    host.take(base::load_u8(input.data()), frame);
    host.batch.flush();
    require(host.memory.state->reassembly.cells_used() == host.memory.cells->in_use());
    input = input.subspan(4 + length);
  }
  for (int second = 0; second < 70; ++second) {
    host.now = host.now + base::Duration::seconds(1);
    host.ip.poll(host.now, host.outputs);
    host.batch.flush();
  }
  require(host.memory.state->reassembly.size() == 0 && host.memory.cells->in_use() == 0);
  require(host.pool.free_count() == host.pool.size());
  return 0;
}
