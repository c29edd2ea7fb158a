#include "tcp/harness.h"

#include <sys/epoll.h>

#include <charconv>

namespace ringway::tcp {
namespace {

port::Path make_path(const HarnessOptions& o) {
  port::Path p{};
  p.mtu = o.mtu;
  p.max_frame = o.max_frame;
  p.flags = o.path_flags;
  p.is_v6 = o.v6 ? 1 : 0;
  p.l3_offset = 14;
  p.header_length = o.v6 ? 54 : 34;
  p.local = o.v6 ? *base::parse_ip("fd00::1") : base::IpAddress::v4(10, 0, 0, 1);
  p.remote = o.v6 ? *base::parse_ip("fd00::2") : base::IpAddress::v4(10, 0, 0, 2);
  std::byte* h = p.header.data();
  base::store_be16(h + 12, o.v6 ? 0x86dd : 0x0800);
  std::byte* l3 = h + 14;
  if (o.v6) {
    base::store_u8(l3, 0x60);
    base::store_u8(l3 + 7, 64);
    std::memcpy(l3 + 8, p.local.bytes.data(), 16);
    std::memcpy(l3 + 24, p.remote.bytes.data(), 16);
  } else {
    base::store_u8(l3, 0x45);
    base::store_u8(l3 + 8, 64);
    std::memcpy(l3 + 12, p.local.bytes.data() + 12, 4);
    std::memcpy(l3 + 16, p.remote.bytes.data() + 12, 4);
  }
  return p;
}

std::uint32_t number(std::string_view& text) {
  std::uint32_t v = 0;
  const auto r = std::from_chars(text.data(), text.data() + text.size(), v);
  text.remove_prefix(static_cast<std::size_t>(r.ptr - text.data()));
  return v;
}

bool skip(std::string_view& text, std::string_view what) {
  if (!text.starts_with(what)) return false;
  text.remove_prefix(what.size());
  return true;
}

}  // namespace

std::size_t CapturePort::tx_burst(std::span<const mem::FrameDesc> packets) {
  std::size_t n = 0;
  for (; n < packets.size() && room != 0; ++n, --room) {
    const mem::FrameDesc& d = packets[n];
    const std::byte* p = pool_->data(d.slot) + d.offset;
    frames.push_back({d, {p, p + d.length}});
    pool_->free(d.slot);
  }
  return n;
}

Harness::Harness(const HarnessOptions& o)
    : state_block(make_zeroed<TcpState>()),
      options(o.tcp),
      cells(make_zeroed<mem::CellSlab>()),
      memory_(make_zeroed<std::byte>(std::size_t{kFrames} * kSlotBytes)),
      regions_(std::make_unique<mem::RegionTable>()) {
  pool_state_.slot_size = kSlotBytes;
  pool_state_.slot_count = kFrames;
  pool = mem::FramePool(&pool_state_, memory_.get());
  EXPECT_EQ(pool.allocate(), 0U);
  regions_->set(0, pool.view());
  port = std::make_unique<CapturePort>(&pool, port::Caps{});
  batch = std::make_unique<port::TxBatch>(port.get(), &pool, nullptr, std::uint16_t{0});
  batches_ = {batch.get()};
  paths = {port::Path{}, make_path(o)};
  local = {paths[1].local, kLocalPort};
  remote = {paths[1].remote, kRemotePort};
  tcp = Tcp(*state_block, {cells.get(), &pool, regions_.get()}, {paths.data(), batches_.data()});
}

Harness::~Harness() {
  if (!check_leaks) return;
  tcp.abort_all(now);
  port->room = SIZE_MAX;
  out();
  Event e;
  while (tcp.next_event(e)) {
  }
  EXPECT_EQ(pool.free_count(), kFrames - 1) << "frames leaked";
  EXPECT_EQ(cells->in_use(), 0U) << "cells leaked";
  EXPECT_EQ(state_block->connections.in_use(), 0U) << "connections leaked";
  EXPECT_EQ(state_block->listeners.in_use(), 0U) << "listeners leaked";
  EXPECT_EQ(state_block->wheel.size(), 0U) << "timers leaked";
  EXPECT_EQ(paths[1].users, 0U);
}

std::vector<std::byte> Harness::build(std::string_view text) {
  wire::TcpHeader h;
  h.src_port = kRemotePort;
  h.dst_port = kLocalPort;
  for (; text.front() != ' '; text.remove_prefix(1)) {
    const char f = text.front();
    h.flags.bits |= f == 'S' ? 0x02 : f == 'F' ? 0x01 : f == 'R' ? 0x04 : f == 'P' ? 0x08 : 0x10;
  }
  skip(text, " ");
  const std::uint32_t seq = number(text);
  h.seq = {kPeerIss + seq};
  skip(text, ":");
  number(text);
  skip(text, "(");
  const std::uint32_t length = number(text);
  skip(text, ")");
  if (skip(text, " ack ")) h.ack = {iss_ + number(text)};
  if (skip(text, " win ")) h.window = static_cast<std::uint16_t>(number(text));
  if (skip(text, " <")) {
    while (!skip(text, ">")) {
      wire::TcpOptions& op = h.options;
      if (skip(text, "mss ")) {
        op.has_mss = true;
        op.mss = static_cast<std::uint16_t>(number(text));
      } else if (skip(text, "sackOK")) {
        op.sack_permitted = true;
      } else if (skip(text, "wscale ")) {
        op.has_window_scale = true;
        op.window_scale = static_cast<std::uint8_t>(number(text));
      } else if (skip(text, "TS ")) {
        op.has_timestamps = true;
        op.timestamp_value = number(text);
        skip(text, " ");
        const std::uint32_t echo = number(text);
        op.timestamp_echo =
            echo == 0 ? 0 : echo + ts_offset_ + static_cast<std::uint32_t>(start.ns / 1'000'000);
      } else if (skip(text, "sack ")) {
        do {
          wire::SackBlock& b = op.sack[op.sack_count++];
          b.left = {iss_ + number(text)};
          skip(text, ":");
          b.right = {iss_ + number(text)};
        } while (skip(text, " "));
      } else {
        ADD_FAILURE() << "cannot read option " << text;
        break;
      }
      skip(text, ",");
    }
  }
  EXPECT_TRUE(text.empty()) << "left over: " << text;
  std::vector<std::byte> bytes(h.emitted_size() + length);
  h.emit(bytes.data());
  for (std::uint32_t i = 0; i < length; ++i) bytes[h.emitted_size() + i] = pattern(seq + i);
  return bytes;
}

void Harness::in(std::string_view text) {
  const auto bytes = build(text);
  const std::uint32_t slot = pool.allocate();
  std::byte* p = pool.data(slot) + 200;
  std::memcpy(p, bytes.data(), bytes.size());
  Segment s;
  s.data = p;
  s.length = static_cast<std::uint32_t>(bytes.size());
  s.offset = 200;
  s.frame = mem::FrameRef::make(0, slot);
  const std::uint32_t found = tcp.find(local, remote);
  const bool again = found != 0 && tcp.input(found, s, now);
  if (found == 0 || again) {
    const std::uint32_t l = tcp.find_listener(local);
    if (l != 0) {
      tcp.on_syn(l, s, kPath, now);
      c = tcp.find(local, remote);
    } else {
      tcp.reject(s, kPath);
    }
  }
  if (!s.taken) pool.free(slot);
}

std::uint32_t Harness::our_iss() const { return iss_; }

std::string Harness::describe(const CapturePort::Frame& frame) {
  const std::size_t l4 = frame.desc.l4_offset;
  const auto parsed = wire::TcpHeader::parse(std::span(frame.bytes).subspan(l4));
  if (!parsed) return "unreadable";
  const wire::TcpHeader& h = *parsed;
  if (h.flags.syn()) iss_ = h.seq.value;
  if (const std::uint32_t i = tcp.find(local, remote); i != 0) ts_offset_ = tcp.conn(i).ts_offset;
  std::string s;
  if (h.flags.syn()) s += 'S';
  if (h.flags.fin()) s += 'F';
  if (h.flags.rst()) s += 'R';
  if (h.flags.psh()) s += 'P';
  if (h.flags.ack()) s += '.';
  const std::uint32_t seq = h.seq.value - iss_;
  const auto length = static_cast<std::uint32_t>(frame.bytes.size() - l4 - h.header_length);
  for (std::uint32_t i = 0; i < length; ++i) {
    const std::byte got = frame.bytes[l4 + h.header_length + i];
    if (got != pattern(seq - 1 + i)) return "wrong payload at " + std::to_string(seq + i);
  }
  const auto text = [](std::uint32_t v) { return std::to_string(v); };
  s += ' ' + text(seq) + ':' + text(seq + length) + '(' + text(length) + ')';
  if (h.flags.ack()) s += " ack " + text(h.ack.value - kPeerIss);
  if (!h.flags.rst()) s += " win " + text(h.window);
  std::string o;
  if (h.options.has_mss) o += ",mss " + text(h.options.mss);
  if (h.options.sack_permitted) o += ",sackOK";
  if (h.options.has_timestamps) {
    o += ",TS " +
         text(h.options.timestamp_value - ts_offset_ -
              static_cast<std::uint32_t>(start.ns / 1'000'000)) +
         ' ' + text(h.options.timestamp_echo);
  }
  if (h.options.has_window_scale) o += ",wscale " + text(h.options.window_scale);
  for (std::size_t i = 0; i < h.options.sack_count; ++i) {
    o += (i == 0 ? ",sack " : " ") + text(h.options.sack[i].left.value - kPeerIss) + ':' +
         text(h.options.sack[i].right.value - kPeerIss);
  }
  if (!o.empty()) s += " <" + o.substr(1) + '>';
  if (frame.desc.gso_size != 0) s += " gso " + text(frame.desc.gso_size);
  return s;
}

std::string Harness::out() {
  batch->take_room();
  tcp.output(now);
  batch->flush();
  std::string all;
  for (const auto& frame : port->frames) all += (all.empty() ? "" : "\n") + describe(frame);
  port->frames.clear();
  return all;
}

void Harness::advance(base::Duration d) {
  now = now + d;
  tcp.on_timers(now);
}

void Harness::connect() {
  const Opened o = tcp.connect(local, remote, kPath, kSocket, options, now);
  ASSERT_EQ(o.error, 0);
  c = o.index;
}

void Harness::listen(std::uint32_t backlog) {
  const Opened o = tcp.listen(local, backlog, kSocket + 1, options);
  ASSERT_EQ(o.error, 0);
  listener = o.index;
}

void Harness::accept() {
  c = tcp.accept(listener);
  ASSERT_NE(c, 0U);
  tcp.set_socket(c, kSocket);
}

void Harness::establish(std::string_view syn_options) {
  listen();
  in("S 0:0(0) win 65535 <" + std::string(syn_options) + ">");
  out();
  const bool stamped = syn_options.find("TS") != std::string_view::npos;
  in(std::string(". 1:1(0) ack 1 win 65535") + (stamped ? " <TS 100 0>" : ""));
  out();
  accept();
  ASSERT_EQ(state(), State::kEstablished);
}

Io Harness::write(std::size_t bytes, bool more) {
  std::vector<std::byte> data(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    data[i] = pattern(written_ + static_cast<std::uint32_t>(i));
  }
  const iovec v{data.data(), data.size()};
  const Io io = tcp.send(c, {&v, 1}, more, now);
  written_ += io.bytes;
  return io;
}

std::size_t Harness::read(std::size_t bytes) {
  std::vector<std::byte> data(bytes);
  const iovec v{data.data(), data.size()};
  const Io io = tcp.recv(c, {&v, 1}, false, now);
  for (std::uint32_t i = 0; i < io.bytes; ++i) {
    if (data[i] == pattern(read_ + 1 + i)) continue;
    ADD_FAILURE() << "wrong byte received at " << read_ + i;
    break;
  }
  read_ += io.bytes;
  return io.bytes;
}

std::uint32_t Harness::events() {
  std::uint32_t bits = 0;
  Event e;
  while (tcp.next_event(e)) {
    if (!e.listener && e.index == c) bits |= e.bits;
  }
  return bits;
}

namespace {

TEST(Harness, SegmentText_SurvivesTheRoundTrip) {
  Harness h;
  h.connect();
  EXPECT_EQ(h.out(), "S 0:0(0) win 65535 <mss 1460,sackOK,TS 0 0,wscale 4>");
  h.in("S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS 5 0,wscale 4>");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 1 win 32768 <TS 0 5>");
  EXPECT_EQ(h.state(), State::kEstablished);
  EXPECT_EQ(h.write(5).bytes, 5U);
  EXPECT_EQ(h.out(), "P. 1:6(5) ack 1 win 32768 <TS 0 5>");
  h.in(". 1:4(3) ack 6 win 4096 <TS 6 1>");
  EXPECT_EQ(h.read(10), 3U);
}

}  // namespace
}  // namespace ringway::tcp
