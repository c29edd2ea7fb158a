#include "stack/stack.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "ring/barrier.h"
#include "stack/capture_layout.h"

namespace ringway::stack {
namespace {

/// Frames that one turn receives at most: it is never longer than about 50 us.
constexpr std::uint32_t kTurnBudget = 256;
constexpr std::uint32_t kLinkBurst = 64;
/// A hot link that had nothing for so many turns makes room for others.
constexpr std::uint64_t kColdTurns = 4096;
/// Turns that receive look at the timers no more often than this.
constexpr base::Duration kTimerGrain = base::Duration::microseconds(100);

}  // namespace

std::uint64_t layout_hash() {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const std::uint64_t v :
       {std::uint64_t{sizeof(StackState)}, std::uint64_t{offsetof(StackState, sockets)},
        std::uint64_t{offsetof(StackState, tcp)}, std::uint64_t{offsetof(StackState, paths)},
        std::uint64_t{offsetof(StackState, cells)}, std::uint64_t{offsetof(StackState, links)},
        std::uint64_t{offsetof(StackState, frames)}, std::uint64_t{sizeof(Socket)},
        std::uint64_t{sizeof(tcp::Connection)}, std::uint64_t{sizeof(LinkState)}}) {
    hash = (hash ^ v) * 0x100000001b3U;
  }
  return hash;
}

Stack::Stack(mem::Arena arena) : arena_(std::move(arena)), state_(&arena_.as<StackState>()) {
  pool_ = mem::FramePool(&state_->frame_pool, state_->frames.data());
  capture_ = StackCapture(arena_);
  regions_.set(0, pool_.view());
  // Region views must not point at a temporary: the pool lives as long as this object.
  buffers_ = {&state_->cells, &pool_, &regions_};
  tcp_ = tcp::Tcp(state_->tcp, buffers_, {state_->paths.slab.data(), tx_.data()});
  scratch_.resize(2 * ip::Reassembly::kScratchBytes);
  const std::span<std::byte> scratch(scratch_);
  ip_.emplace(state_->ip, buffers_, scratch.first(ip::Reassembly::kScratchBytes));
  udp_ = udp::Udp(state_->udp, buffers_,
                  {.paths = state_->paths.slab.data(),
                   .tx = tx_.data(),
                   .fragment = &Stack::cut_datagram,
                   .fragment_context = this,
                   .scratch = scratch.subspan(ip::Reassembly::kScratchBytes)});
  bells_.reserve(64);
}

Stack::~Stack() = default;

base::Result<std::unique_ptr<Stack>> Stack::create(const StackConfig& config) {
  auto arena = mem::Arena::create("ringway-stack", kArenaBytes, layout_hash());
  if (!arena) return tl::unexpected(arena.error());
  StackState& state = arena->as<StackState>();
  state.id = config.id;
  state.address_v4 = config.address_v4;
  state.address_v6 = config.address_v6;
  state.mac = config.mac;
  config.program.copy(state.program.data(), state.program.size() - 1);
  state.random = base::Random::seeded(config.seed);
  state.tcp.secret = config.secret;
  state.frame_pool.slot_size = kPrivateFrameBytes;
  state.frame_pool.slot_count = kPrivateFrames;
  std::unique_ptr<Stack> stack(new Stack(std::move(*arena)));
  stack->init_links_interface();
  stack->pool_.allocate();  // frame 0 of Region 0 would be FrameRef 0, which means none
  return stack;
}

void Stack::init_links_interface() {
  port::Caps caps;
  caps.mac = state_->mac;
  caps.mtu = kLinkMtu;
  caps.neighbours_known = true;
  ip_->set_interface(kLinksInterface, caps);
  ip_->add_address(kLinksInterface, {base::IpAddress::loopback_v4(), 8});
  ip_->add_address(kLinksInterface, {base::IpAddress::loopback_v6(), 128});
  if (!state_->address_v4.is_any()) ip_->add_address(kLinksInterface, {state_->address_v4, 32});
  if (!state_->address_v6.is_any()) ip_->add_address(kLinksInterface, {state_->address_v6, 128});
}

base::Result<std::unique_ptr<Stack>> Stack::open(int arena_fd) {
  auto arena = mem::Arena::map(arena_fd, layout_hash(), false);
  if (!arena) return tl::unexpected(arena.error());
  return std::unique_ptr<Stack>(new Stack(std::move(*arena)));
}

bool Stack::turn(base::Instant now) {
  capture_.look(now);
  std::uint32_t received = 0;
  for (std::uint32_t i = 0; i < state_->hot_count; ++i) {
    const std::uint32_t n = poll_link(state_->hot[i], kLinkBurst, now);
    if (n != 0) state_->hot_used[i] = state_->link_turns;
    received += n;
  }
  if (mailbox_ != nullptr && mailbox_->summary.load(std::memory_order_relaxed) != 0) {
    received += poll_marked(now);
  }
  for (std::uint32_t i = 0; i < external_count_; ++i) received += poll_port(i, now);
  if (external_count_ != 0 && paths_generation_ != ip_->state().generation) {
    refresh_external_paths();
  }
  if (received != 0) {
    state_->link_turns++;
  }
  bool worked = received != 0;
  // Under load every turn is short: timers have a grain of 1 ms and can wait for a later one.
  if (received == 0 || now - timers_looked_at_ >= kTimerGrain) {
    timers_looked_at_ = now;
    worked = run_timers(now) || worked;
  }
  if (tcp_.blocked()) [[unlikely]]
    look_for_room();
  if (tcp_.has_output() || tcp_.blocked()) tcp_.output(now);
  if (udp_.has_output()) udp_.output();
  flush();
  std::atomic_ref(state_->busy)
      .store(tcp_.blocked() || port_blocked() ? 1U : 0U, std::memory_order_relaxed);
  state_->last_turn_ns = static_cast<std::uint64_t>(now.ns);
  state_->counters.add(Count::kTurns);
  return worked;
}

bool Stack::run_timers(base::Instant now) {
  bool any = false;
  if (tcp_.next_deadline() <= now) {
    tcp_.on_timers(now);
    any = true;
  }
  if (ip_->next_deadline() <= now) {
    ip_->poll(now, outputs());
    any = true;
  }
  return any;
}

std::uint32_t Stack::poll_link(std::uint16_t index, std::uint32_t budget, base::Instant now) {
  Link* link = links_[index].get();
  if (link == nullptr) return 0;
  ring::SlotReceiver& receiver = link->receiver();
  if (receiver.ready()) link->tx().sender().expect_send();
  std::uint32_t n = 0;
  for (; n < budget; ++n) {
    const auto frame = receiver.next();
    if (frame.data == nullptr) break;
    const bool by_reference = (frame.desc.flags & mem::kFrameInline) == 0;
    if (capture_.on()) [[unlikely]]
      capture_.record_received(frame, index);
    Received received{frame.data, frame.desc.length, frame.desc, {}, receiver.crowded(), false};
    if (by_reference) received.frame = mem::FrameRef::make(1U + index, frame.desc.slot);
    input(index, received, now);
    if (by_reference && !received.taken) receiver.release(&frame.desc.slot, 1);
  }
  if (receiver.slots_since_publish() >= ring::kSlots / 8) receiver.publish();
  if (n != 0) state_->counters.add(Count::kRxFrames, n);
  return n;
}

std::uint32_t Stack::poll_marked(base::Instant now) {
  std::uint32_t received = 0;
  const std::uint64_t summary = mailbox_->summary.exchange(0, std::memory_order_seq_cst);
  for (std::uint64_t words = summary; words != 0; words &= words - 1) {
    const auto w = static_cast<std::uint32_t>(std::countr_zero(words));
    if (w >= mailbox_->dirty.size()) continue;
    std::uint64_t bits = mailbox_->dirty[w].exchange(0, std::memory_order_seq_cst);
    for (; bits != 0; bits &= bits - 1) {
      const auto index =
          static_cast<std::uint16_t>(w * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
      if (links_[index] == nullptr) {
        // Another holder's link, perhaps, that is yet to be mapped here: the mark is its as well.
        if (has_unmapped_links()) mailbox_->mark(index);
        continue;
      }
      const std::uint32_t n = poll_link(index, kLinkBurst, now);
      received += n;
      if (n != 0) heat(index);
      // More than a burst, or no place among the hot ones: it must not be forgotten.
      if (links_[index]->receiver().ready()) mailbox_->mark(index);
      if (received >= kTurnBudget) {
        for (bits &= bits - 1; bits != 0; bits &= bits - 1) {
          mailbox_->mark(w * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
        }
        for (words &= words - 1; words != 0; words &= words - 1) {
          mailbox_->summary.fetch_or(words & (~words + 1), std::memory_order_acq_rel);
        }
        return received;
      }
    }
  }
  return received;
}

void Stack::heat(std::uint16_t index) {
  if (only_marks_) return;
  // Somebody sleeps on the doorbell, and the keeper or another thread runs this turn: senders of a
  // hot link would not ring.
  if (mailbox_->sleeping.load(std::memory_order_relaxed) != 0) return;
  for (std::uint32_t i = 0; i < state_->hot_count; ++i) {
    if (state_->hot[i] == index) return;
  }
  if (state_->hot_count == kHotLinks) {
    std::uint32_t oldest = 0;
    for (std::uint32_t i = 1; i < kHotLinks; ++i) {
      if (state_->hot_used[i] < state_->hot_used[oldest]) oldest = i;
    }
    if (state_->link_turns - state_->hot_used[oldest] < kColdTurns) return;
    cool(oldest);
  }
  const std::uint16_t at = state_->hot_count;
  std::atomic_ref(state_->hot[at]).store(index, std::memory_order_relaxed);
  state_->hot_used[at] = state_->link_turns;
  std::atomic_ref(state_->hot_count)
      .store(static_cast<std::uint16_t>(at + 1), std::memory_order_release);
  links_[index]->receiver().set_hot(true);
}

void Stack::cool(std::uint32_t at) {
  const std::uint16_t index = state_->hot[at];
  if (links_[index] != nullptr) links_[index]->receiver().set_hot(false);
  const auto last = static_cast<std::uint16_t>(state_->hot_count - 1);
  std::atomic_ref(state_->hot[at]).store(state_->hot[last], std::memory_order_relaxed);
  state_->hot_used[at] = state_->hot_used[last];
  std::atomic_ref(state_->hot_count).store(last, std::memory_order_release);
  // The sender may have looked at `hot` just before: what it published then is in view after the
  // barrier. Look once more before relying on marks.
  ring::AsymmetricBarrier::heavy();
  if (mailbox_ != nullptr) mailbox_->mark(index);
}

bool Stack::has_input() const {
  if (mailbox_ != nullptr && mailbox_->summary.load(std::memory_order_relaxed) != 0) return true;
  if (external_count_ != 0 && ports_ready()) return true;
  const std::uint32_t hot = std::min<std::uint32_t>(
      std::atomic_ref(state_->hot_count).load(std::memory_order_acquire), kHotLinks);
  if (hot == 0) return false;
  const Looker looker;
  for (std::uint32_t i = 0; i < hot; ++i) {
    const std::uint16_t index = std::atomic_ref(state_->hot[i]).load(std::memory_order_relaxed);
    if (index >= kMaxLinks) continue;
    const Link* link = visible_[index].load(std::memory_order_acquire);
    if (link != nullptr && link->receiver().ready()) return true;
  }
  return false;
}

base::Instant Stack::next_deadline() const {
  const base::Instant deadline = std::min(tcp_.next_deadline(), ip_->next_deadline());
  if (!port_blocked()) return deadline;
  // A device takes more without telling: look again soon.
  const base::Instant last{static_cast<std::int64_t>(state_->last_turn_ns)};
  return std::min(deadline, last + base::Duration::milliseconds(1));
}

bool Stack::cut_datagram(void* self, port::Path& path, std::span<const std::byte> l4,
                         port::TxBatch& out) {
  return static_cast<Stack*>(self)->ip_->send_fragments(path, IPPROTO_UDP, l4, out);
}

void Stack::flush_all() {
  for (std::uint32_t i = 0; i < touched_.count; ++i) {
    const std::uint16_t number = touched_.ports[i];
    if (capture_.on() && number < kMaxLinks && links_[number] != nullptr) [[unlikely]]
      capture_.record_sent(*links_[number], number);
    if (tx_[number] == nullptr || !tx_[number]->flush() || number >= kMaxLinks) continue;
    ring_bell(links_[number]->notify_peer());
  }
  touched_.count = 0;
  for (std::uint32_t i = 0; i < room_made_.count; ++i) {
    const std::uint16_t index = room_made_.links[i];
    room_made_.listed[index] = false;
    if (links_[index] != nullptr) ring_bell(links_[index]->notify_room());
  }
  room_made_.count = 0;
}

ip::Outputs Stack::outputs() const {
  ip::Outputs out;
  for (std::uint32_t i = 0; i < kMaxPorts; ++i)
    out.batches[kFirstInterface + i] = tx_[kFirstPort + i];
  return out;
}

void Stack::ring_bell(int fd) {
  if (fd < 0) return;
  bells_.push_back(fd);
  state_->counters.add(Count::kBells);
}

bool Stack::prepare_sleep(ring::Mailbox& mailbox) {
  set_hot_links(false);
  mailbox.sleeping.store(1, std::memory_order_release);
  bool starved = false;
  for (std::uint32_t i = 0; i < state_->link_high; ++i) {
    if (links_[i] == nullptr || !links_[i]->tx().starved()) continue;
    links_[i]->tx().sender().set_wants_room();
    starved = true;
  }
  if (!ring::AsymmetricBarrier::heavy()) only_marks_ = true;
  if (only_marks_ && state_->hot_count != 0) {
    // What is published on a hot link may come into view after our last look. A mark is a fence on
    // the sender's side too: from now on there are no hot links here.
    while (state_->hot_count != 0) cool(state_->hot_count - 1U);
    wake(mailbox);
    return false;
  }
  if (has_input() || (starved && found_room())) {
    set_hot_links(true);
    wake(mailbox);
    return false;
  }
  // Senders mark the mailbox from now on; a marked link becomes hot again.
  std::atomic_ref(state_->hot_count).store(std::uint16_t{0}, std::memory_order_release);
  return true;
}

void Stack::set_hot_links(bool hot) {
  for (std::uint32_t i = 0; i < state_->hot_count; ++i) {
    Link* link = links_[state_->hot[i]].get();
    if (link != nullptr) link->receiver().set_hot(hot);
  }
}

void Stack::look_for_room() {
  for (std::uint32_t i = 0; i < state_->link_high; ++i) {
    if (tx_[i] != nullptr) tx_[i]->take_room();
  }
  for (std::uint32_t i = kFirstPort; i < kAllPorts; ++i) {
    if (tx_[i] != nullptr) tx_[i]->take_room();
  }
}

bool Stack::found_room() {
  for (std::uint32_t i = 0; i < state_->link_high; ++i) {
    if (links_[i] == nullptr || !links_[i]->tx().starved()) continue;
    if (links_[i]->tx().sender().has_room_for_all()) return true;
  }
  return false;
}

void Stack::wake(ring::Mailbox& mailbox) { mailbox.sleeping.store(0, std::memory_order_release); }

}  // namespace ringway::stack
