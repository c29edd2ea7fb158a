#include "gateway/gateway.h"

#include <fmt/format.h>
#include <immintrin.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <csignal>

#include "base/sys.h"
#include "control/client/exchange.h"
#include "control/proto/runtime_dir.h"
#include "ring/barrier.h"

namespace ringway::gateway {

using base::ErrorCode;
using base::Result;
namespace sys = base::sys;

namespace {

/// What an epoll event is about; below kPeer it is a constant, above a peer's index.
enum Source : std::uint64_t { kOutside, kDoorbell, kControl, kSignal, kRequests, kPeer };

/// Traffic mostly goes on within a moment, and a wake-up costs about as much.
constexpr base::Duration kSpin = base::Duration::microseconds(20);
/// How often a busy loop looks at what only epoll knows.
constexpr base::Duration kLook = base::Duration::milliseconds(1);

}  // namespace

Gateway::Gateway(std::unique_ptr<Attachment> attachment)
    : attachment_(std::move(attachment)),
      state_(attachment_->state()),
      epoll_(sys::epoll_create1(EPOLL_CLOEXEC)),
      peers_(*attachment_, epoll_.get(), kPeer),
      pool_(&state_.frame_pool, state_.frames.data()),
      scratch_(ip::Reassembly::kScratchBytes),
      waiting_(kFrameBytes),
      ip_(state_.ip, {&state_.cells, &pool_, nullptr}, scratch_) {
  state_.frame_pool.slot_size = kFrameBytes;
  state_.frame_pool.slot_count = kFrames;
  bridge_ = std::make_unique<bridge::Bridge>(pool_);
  outside_ = port::TxBatch(bridge_.get(), &pool_, nullptr, 0);
}

Gateway::~Gateway() { attachment_->leave(); }

namespace {

/// Beside the daemon's. None: then nobody learns what happens in the background.
base::UniqueFd open_log(const std::string& network) {
  const auto path = fmt::format("{}/gateway-{}.log", control::proto::runtime_directory(), network);
  return base::UniqueFd(
      sys::openat(AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
}

}  // namespace

Result<std::unique_ptr<Gateway>> Gateway::open(const Options& options) {
  auto attachment = Attachment::join(options.network);
  if (!attachment) return tl::unexpected(std::move(attachment).error());
  std::unique_ptr<Gateway> gateway(new Gateway(std::move(*attachment)));
  if (auto done = gateway->set_up(options); !done) return tl::unexpected(std::move(done).error());
  return gateway;
}

Result<void> Gateway::set_up(const Options& options) {
  const auto spec = AttachSpec::parse(options.spec());
  if (!spec) return tl::unexpected(spec.error());
  auto attached = attach(*spec);
  if (!attached) return tl::unexpected(std::move(attached).error());
  described_ = *attached;
  // Last: from here on programs rely on it.
  if (auto gateway = attachment_->become_gateway(); !gateway) return gateway;
  auto requests = Requests::listen(options.network);
  if (!requests) return tl::unexpected(std::move(requests).error());
  requests_ = std::move(*requests);
  if (!options.foreground) log_ = open_log(options.network);
  ring::AsymmetricBarrier::enrol();
  if (auto watched = watch_all(); !watched) return watched;
  flush();
  return {};
}

Result<void> Gateway::watch_all() {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGTERM);
  sigaddset(&mask, SIGINT);
  ::sigprocmask(SIG_BLOCK, &mask, nullptr);
  signals_ = base::UniqueFd(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  const auto outside = bridge_->arm();
  if (!outside) return tl::unexpected(outside.error());
  const auto watch = [&](int fd, Source source) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = source;
    return sys::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  };
  if (!watch(*outside, kOutside) || !watch(attachment_->doorbell(), kDoorbell) ||
      !watch(attachment_->client().fd(), kControl) || !watch(signals_.get(), kSignal) ||
      !watch(requests_.fd(), kRequests)) {
    return base::fail_errno("a gateway's descriptors cannot be watched");
  }
  return {};
}

std::string Gateway::describe_counters() const {
  std::string text;
  for (std::uint32_t i = 0; i < Counters::kSize; ++i) {
    const auto which = static_cast<Count>(i);
    const std::uint64_t value = state_.counters.get(which);
    if (value == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name(which), value);
  }
  for (std::uint32_t i = 0; i < bridge::Counters::kSize; ++i) {
    const auto which = static_cast<bridge::Count>(i);
    const std::uint64_t value = bridge_->counts().get(which);
    if (value == 0) continue;
    text += fmt::format("{}bridge_{} {}", text.empty() ? "" : ", ", name(which), value);
  }
  return text;
}

void Gateway::run() {
  base::Instant last_work;
  base::Instant next_look;
  while (!stopping_) {
    const base::Instant now = control::monotonic_now();
    if (now >= next_look) {
      events(0);
      next_look = now + kLook;
    }
    if (turn(now)) {
      last_work = now;
    } else if (now - last_work < kSpin) {
      _mm_pause();
    } else {
      sleep(now);
    }
  }
}

bool Gateway::turn(base::Instant now) {
  bridge_->advance(now);
  std::uint32_t received = receive_from_tap(now);
  received += receive_from_peers(now);
  if (ip_.next_deadline() <= now) ip_.poll(now, outputs());
  while (ip_.take_failed()) {
  }
  if (peers_.next_sweep() <= now) peers_.sweep(now);
  if (std::exchange(asked_daemon_, false)) control_events(now);
  flush();
  return received != 0;
}

void Gateway::flush() {
  outside_.flush();
  for (const std::uint16_t index : touched_) {
    Peer* peer = peers_.at(index);
    if (peer == nullptr) continue;
    peer->touched = false;
    if (peer->link->tx().flush()) ring(peer->link->notify_peer());
  }
  touched_.clear();
}

void Gateway::ring(int doorbell) {
  if (doorbell < 0) return;
  const std::uint64_t one = 1;
  sys::write(doorbell, &one, sizeof one);
}

base::Instant Gateway::next_deadline() const {
  return std::min({ip_.next_deadline(), peers_.next_sweep(), bridge_->next_deadline()});
}

/// After the barrier. A sender that found its mark still set has not marked again, while what it
/// wrote may have come into view only now: those links are looked at themselves.
bool Gateway::has_input_at_last() {
  bool found = attachment_->mailbox().summary.load(std::memory_order_relaxed) != 0;
  for (const std::uint16_t index : recent_) {
    Peer* peer = peers_.at(index);
    if (peer == nullptr) continue;
    peer->recent = false;
    if (!peer->link->receiver().ready()) continue;
    attachment_->mailbox().mark(index);
    found = true;
  }
  recent_.clear();
  return found;
}

void Gateway::sleep(base::Instant now) {
  look_for_gone();
  static_cast<void>(bridge_->arm());
  ring::Mailbox& mailbox = attachment_->mailbox();
  mailbox.sleeping.store(1, std::memory_order_release);
  const bool safe = ring::AsymmetricBarrier::heavy();
  if (!has_input_at_last()) {
    // Without membarrier a mark may come too late for the look above.
    int timeout_ms = safe ? -1 : 1;
    const base::Instant deadline = next_deadline();
    if (!deadline.is_never()) {
      const std::int64_t left = std::max<std::int64_t>((deadline - now).ns, 0);
      const auto left_ms = static_cast<int>(std::min<std::int64_t>(left / 1'000'000 + 1, 60'000));
      timeout_ms = timeout_ms < 0 ? left_ms : std::min(timeout_ms, left_ms);
    }
    if (outside_.blocked() || bridge_->must_be_polled()) timeout_ms = 1;
    events(timeout_ms);
  }
  mailbox.sleeping.store(0, std::memory_order_release);
}

void Gateway::events(int timeout_ms) {
  std::array<epoll_event, 32> events{};
  const int n =
      sys::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  const base::Instant now = control::monotonic_now();
  for (int i = 0; i < n; ++i) {
    const std::uint64_t source = events[static_cast<std::size_t>(i)].data.u64;
    std::uint64_t word = 0;
    if (source == kDoorbell) {
      static_cast<void>(sys::read(attachment_->doorbell(), &word, sizeof word));
    } else if (source == kSignal) {
      stopping_ = true;
    } else if (source == kRequests) {
      requests_.serve([this](std::string_view text) { return answer(text); });
    } else if (source == kControl) {
      control_events(now);
    } else if (source >= kPeer) {
      peers_.hung_up(static_cast<std::uint32_t>(source - kPeer), now);
    }
  }
}

/// A request may have met another daemon, over another socket. An old one takes its watch along.
void Gateway::watch_control() {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kControl;
  sys::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, attachment_->client().fd(), &event);
}

void Gateway::control_events(base::Instant now) {
  control::Client& client = attachment_->client();
  pollfd look{client.fd(), POLLIN, 0};
  const bool hung_up = sys::poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR)) != 0;
  if (hung_up) {
    // The old socket is closed with its watch; a daemon that is not to be had again ends us too:
    // nobody could ever find us.
    if (!client.reconnect()) {
      stopping_ = true;
      return;
    }
  }
  watch_control();
  while (auto event = client.next_event()) {
    if (auto* offer = std::get_if<control::LinkOffer>(&*event)) {
      peers_.take(std::move(offer->link));
    } else if (auto* gone = std::get_if<control::PeerGone>(&*event)) {
      peers_.gone(*gone, now);
    } else if (auto* replaced = std::get_if<control::TableReplaced>(&*event)) {
      static_cast<void>(attachment_->replace_table(replaced->table.get()));
    }
  }
}

}  // namespace ringway::gateway
