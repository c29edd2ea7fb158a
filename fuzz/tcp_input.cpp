// Any segments, at any time, between any user calls, to a connection in any state: the state stays
// consistent and nothing leaks. The input is a program: one operation after the other.

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "fuzz/require.h"
#include "tcp/tcp.h"
#include "tcp/zeroed.h"
#include "wire/tcp.h"

using ringway::fuzz::require;
namespace base = ringway::base;
namespace mem = ringway::mem;
namespace port = ringway::port;
namespace tcp = ringway::tcp;
namespace wire = ringway::wire;

namespace {

constexpr std::uint32_t kFrames = 64;
constexpr std::uint32_t kSlotBytes = 4096;
constexpr std::uint32_t kPath = 1;
constexpr std::uint32_t kIss = 0xfffffff0;

/// Takes what it is given, or nothing while it is full.
class SinkPort final : public port::Port {
 public:
  explicit SinkPort(mem::FramePool* pool) : pool_(pool) {}
  std::string_view name() const override { return "sink"; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc>) override { return 0; }
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override {
    if (full) return 0;
    for (const mem::FrameDesc& d : packets) pool_->free(d.slot);
    return packets.size();
  }
  base::Result<int> arm() override {
    return base::fail(base::ErrorCode::kUnavailable, "a sink wakes nobody");
  }
  bool full = false;

 private:
  mem::FramePool* pool_;
  port::Caps caps_;
};

/// Reads the program; zeros after its end.
struct Program {
  std::span<const std::uint8_t> left;
  std::uint8_t byte() {
    if (left.empty()) return 0;
    const std::uint8_t b = left.front();
    left = left.subspan(1);
    return b;
  }
  std::uint16_t word() { return static_cast<std::uint16_t>(byte() << 8 | byte()); }
};

class Machine {
 public:
  explicit Machine(std::uint8_t kind)
      : state_(tcp::make_zeroed<tcp::TcpState>()),
        cells_(tcp::make_zeroed<mem::CellSlab>()),
        memory_(tcp::make_zeroed<std::byte>(std::size_t{kFrames} * kSlotBytes)),
        regions_(tcp::make_zeroed<Regions>()) {
    pool_state_.slot_size = kSlotBytes;
    pool_state_.slot_count = kFrames;
    pool_ = mem::FramePool(&pool_state_, memory_.get());
    (void)pool_.allocate();
    new (regions_.get()) mem::RegionTable();
    regions().set(0, pool_.view());
    batch_ = port::TxBatch(&sink_, &pool_, nullptr, 0);
    path_[kPath].mtu = 1500;
    path_[kPath].max_frame = 1514;
    path_[kPath].header_length = 34;
    path_[kPath].l3_offset = 14;
    path_[kPath].local = base::IpAddress::v4(10, 0, 0, 1);
    path_[kPath].remote = base::IpAddress::v4(10, 0, 0, 2);
    if ((kind & 1) != 0) path_[kPath].flags = port::kPathReliable | port::kPathTxChecksum;
    tcp_ = tcp::Tcp(*state_, {cells_.get(), &pool_, &regions()}, {path_.data(), batches_.data()});
    options_.receive_buffer_bytes = (kind & 2) != 0 ? 4096 : 60'000;
    options_.send_buffer_bytes = 8192;
    options_.keepalive = (kind & 4) != 0;
    options_.no_delay = (kind & 8) != 0;
    listener_ = tcp_.listen(local_, 2, 1, options_).index;
    if ((kind & 16) != 0) user_ = tcp_.connect(local_, remote_, kPath, 2, options_, now_).index;
  }
  ~Machine() {
    sink_.full = false;
    path_[kPath].flags &= static_cast<std::uint8_t>(~port::kPathPending);
    if (user_ != 0) tcp_.abort(user_, now_);
    tcp_.abort_all(now_);
    turn();
    turn();
    require(state_->connections.in_use() == 0 && state_->listeners.in_use() == 0);
    require(state_->wheel.size() == 0 && cells_->in_use() == 0);
    require(pool_.free_count() == kFrames - 1 && path_[kPath].users == 0);
  }

  void segment(Program& p);
  void user(Program& p);
  void turn();
  void advance(std::uint16_t amount) {
    now_ = now_ + base::Duration::microseconds(std::int64_t{amount} * amount);
    tcp_.on_timers(now_);
    require(tcp_.next_deadline() >= now_);
  }
  void environment(std::uint8_t bits) {
    sink_.full = (bits & 1) != 0;
    const std::uint8_t pending = (bits & 2) != 0 ? port::kPathPending : 0;
    path_[kPath].flags =
        static_cast<std::uint8_t>((path_[kPath].flags & ~port::kPathPending) | pending);
  }
  void check();

 private:
  struct alignas(64) Regions {
    std::array<std::byte, sizeof(mem::RegionTable)> bytes;
  };
  mem::RegionTable& regions() { return *reinterpret_cast<mem::RegionTable*>(regions_.get()); }
  wire::TcpHeader header(Program& p, const tcp::Connection* c);

  tcp::Zeroed<tcp::TcpState> state_;
  tcp::Zeroed<mem::CellSlab> cells_;
  tcp::Zeroed<std::byte> memory_;
  tcp::Zeroed<Regions> regions_;
  mem::FramePoolState pool_state_{};
  mem::FramePool pool_;
  SinkPort sink_{&pool_};
  port::TxBatch batch_;
  std::array<port::TxBatch*, 1> batches_{&batch_};
  std::array<port::Path, 2> path_{};
  tcp::Tcp tcp_;
  tcp::Options options_;
  base::Endpoint local_{base::IpAddress::v4(10, 0, 0, 1), 80};
  base::Endpoint remote_{base::IpAddress::v4(10, 0, 0, 2), 4000};
  base::Instant now_{1'000'000'000};
  std::uint32_t listener_ = 0;
  std::uint32_t user_ = 0;  ///< the connection that the user holds
};

/// Numbers near what the connection expects, so that most segments mean something.
wire::TcpHeader Machine::header(Program& p, const tcp::Connection* c) {
  wire::TcpHeader h;
  h.src_port = remote_.port;
  h.dst_port = local_.port;
  h.flags = {p.byte()};
  const auto near = [&p] { return static_cast<std::uint32_t>(static_cast<std::int8_t>(p.byte())); };
  h.seq = c != nullptr && c->rcv.nxt.value != 0 ? c->rcv.nxt + near() : base::SeqNum{kIss};
  if (c != nullptr) {
    const std::uint8_t where = p.byte();
    h.ack = (where & 1) != 0 ? c->snd.nxt : c->snd.una;
    h.ack += static_cast<std::uint32_t>(static_cast<std::int8_t>(where) >> 1);
  }
  h.window = p.word();
  const std::uint8_t options = p.byte();
  if ((options & 1) != 0) {
    h.options.has_mss = true;
    h.options.mss = p.word();
  }
  if ((options & 2) != 0) {
    h.options.has_window_scale = true;
    h.options.window_scale = p.byte() % 15;
  }
  h.options.sack_permitted = (options & 4) != 0;
  if ((options & 8) != 0) {
    h.options.has_timestamps = true;
    h.options.timestamp_value = p.byte();
    h.options.timestamp_echo = p.byte();
  }
  const std::uint32_t una = c != nullptr ? c->snd.una.value : 0;
  for (int i = options >> 6; i > 0 && h.options.size() + 8 <= 36; --i) {
    const std::uint32_t left = una + p.word() % 4096;
    h.options.sack[h.options.sack_count++] = {{left}, {left + p.word() % 4096}};
  }
  return h;
}

void Machine::segment(Program& p) {
  const std::uint32_t found = tcp_.find(local_, remote_);
  const wire::TcpHeader h = header(p, found != 0 ? &tcp_.conn(found) : nullptr);
  const std::uint32_t slot = pool_.allocate();
  if (slot == mem::FramePool::kNone || h.options.size() > wire::TcpOptions::kMaxSize) {
    if (slot != mem::FramePool::kNone) pool_.free(slot);
    return;
  }
  constexpr std::uint32_t kOffset = 128;
  std::byte* data = pool_.data(slot) + kOffset;
  h.emit(data);
  tcp::Segment s;
  const std::uint8_t kind = p.byte();
  s.data = data;
  s.length = static_cast<std::uint32_t>(h.emitted_size()) + (kind & 0x1f) * (kind & 0x20 ? 100 : 1);
  s.offset = kOffset;
  if ((kind & 0x40) == 0) s.frame = mem::FrameRef::make(0, slot);
  s.must_copy = (kind & 0x80) != 0;
  const bool again = found != 0 && tcp_.input(found, s, now_);
  if ((found == 0 || again) && listener_ != 0) {
    tcp_.on_syn(listener_, s, kPath, now_);
  } else if (found == 0) {
    tcp_.reject(s, kPath);
  }
  if (!s.taken) pool_.free(slot);
}

void Machine::user(Program& p) {
  if (user_ == 0 && listener_ != 0) {
    user_ = tcp_.accept(listener_);
    if (user_ != 0) tcp_.set_socket(user_, 2);
  }
  if (user_ == 0) return;
  std::array<std::byte, 5000> buffer{};
  const std::uint8_t what = p.byte();
  const iovec piece{buffer.data(), p.word() % buffer.size()};
  switch (what % 10) {
    case 0:
    case 1:
      (void)tcp_.send(user_, {&piece, 1}, (what & 0x80) != 0, now_);
      break;
    case 2:
    case 3:
      (void)tcp_.recv(user_, {&piece, 1}, (what & 0x80) != 0, now_);
      break;
    case 4:
      tcp_.return_loan(tcp_.recv_loan(user_, now_));
      break;
    case 5:
      tcp_.shutdown_write(user_, now_);
      break;
    case 6:
      (what & 0x80) != 0 ? tcp_.abort(user_, now_) : tcp_.close(user_, now_);
      user_ = 0;
      break;
    case 7:
      (void)tcp_.readiness(user_);
      break;
    case 8:
      tcp_.on_path_mtu(user_, tcp_.conn(user_).snd.una, p.word(), now_);
      break;
    default:
      options_.cork = !options_.cork;
      tcp_.set_options(user_, options_, now_);
      break;
  }
}

void Machine::turn() {
  batch_.flush();
  batch_.take_room();
  tcp_.output(now_);
  batch_.flush();
  tcp::Event event;
  while (tcp_.next_event(event)) {
  }
}

void Machine::check() {
  for (std::uint32_t i = 1; i <= state_->connections.high_water(); ++i) {
    const tcp::Connection& c = tcp_.conn(i);
    if ((c.flags & tcp::kInFlowTable) == 0 || c.state == tcp::State::kClosed) continue;
    require(c.snd.una <= c.snd.nxt && c.rcv.nxt <= c.rcv.adv);
    require(c.tx.bytes <= c.snd_buffer && c.rx.bytes <= c.rcv_buffer + 65'535);
    require(c.ooo_bytes <= c.rcv_buffer + 65'535 && (c.ooo_cells == 0) == (c.ooo_head == 0));
    require(c.timer == tcp::TimerKind::kNone || c.armed_at <= c.timer_at);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Program p{{data, size}};
  Machine machine(p.byte());
  while (!p.left.empty()) {
    const std::uint8_t operation = p.byte();
    switch (operation % 8) {
      case 0:
      case 1:
      case 2:
        machine.segment(p);
        break;
      case 3:
      case 4:
        machine.user(p);
        break;
      case 5:
        machine.turn();
        break;
      case 6:
        machine.advance(p.word());
        break;
      default:
        machine.environment(p.byte());
        break;
    }
    machine.check();
  }
  return 0;
}
