#include "tests/scenario/stream_app.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ringway::scenario {

StreamApp::StreamApp(sim::TcpHost& host, const StreamPlan& plan, std::uint64_t peer_seed)
    : host_(host), plan_(plan), peer_seed_(peer_seed), random_(base::Random::seeded(plan.seed)) {}

void StreamApp::own(std::uint32_t connection) {
  connection_ = connection;
  host_.on_event(socket_, [this](const tcp::Event& event) {
    if (finished_) return;
    if ((event.bits & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
      read_at_ = std::min(read_at_, now_);
    }
    if ((event.bits & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
      connected_ = true;
      write_at_ = std::min(write_at_, now_);
    }
  });
}

void StreamApp::connect(const base::Endpoint& local, const base::Endpoint& remote,
                        const tcp::Options& options, base::Instant now) {
  now_ = now;
  socket_ = host_.new_socket();
  const tcp::Opened o =
      host_.tcp().connect(local, remote, sim::TcpHost::kPath, socket_, options, now);
  if (o.error != 0) {
    error_ = o.error;
    finished_ = true;
    return;
  }
  own(o.index);
}

void StreamApp::adopt(std::uint32_t connection, base::Instant now) {
  now_ = now;
  socket_ = host_.new_socket();
  host_.tcp().set_socket(connection, socket_);
  own(connection);
  connected_ = true;
  read_at_ = write_at_ = now;
}

base::Instant StreamApp::next_event() const {
  return finished_ ? base::Instant::never() : std::min(read_at_, write_at_);
}

void StreamApp::act(base::Instant now) {
  now_ = now;
  if (!finished_ && read_at_ <= now) {
    read_at_ = base::Instant::never();
    read_some();
  }
  if (!finished_ && write_at_ <= now) {
    write_at_ = base::Instant::never();
    write_some();
  }
  host_.touch();
}

bool StreamApp::pause(base::Instant& until) {
  if (plan_.pause_ppm == 0 || !random_.chance_ppm(plan_.pause_ppm)) return false;
  const auto us = static_cast<std::uint32_t>(plan_.max_pause.microseconds());
  until = now_ + base::Duration::microseconds(random_.below(us + 1));
  return true;
}

void StreamApp::write_some() {
  if (!connected_ || shut_) return;
  while (sent_ < plan_.send_bytes) {
    if (sent_ + received_ >= plan_.abort_at) return end();
    const std::uint64_t left = plan_.send_bytes - sent_;
    const auto n = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(left, 1 + random_.below(plan_.max_write)));
    buffer_.resize(n);
    for (std::uint32_t i = 0; i < n; ++i) buffer_[i] = pattern(plan_.seed, sent_ + i);
    const bool more = n < left && random_.chance_ppm(plan_.more_ppm);
    // Two pieces, so that scattered buffers are walked.
    const std::uint32_t cut = random_.below(n + 1);
    const std::array<iovec, 2> pieces = {iovec{buffer_.data(), cut},
                                         iovec{buffer_.data() + cut, n - cut}};
    const tcp::Io io = host_.tcp().send(connection_, pieces, more, now_);
    if (io.error == EAGAIN) return;
    if (io.error != 0) return fail(io.error);
    sent_ += io.bytes;
    if (io.bytes == n && pause(write_at_)) return;
  }
  shut_ = true;
  if (plan_.early_close && saw_end_) return end();
  host_.tcp().shutdown_write(connection_, now_);
  if (saw_end_) end();
}

void StreamApp::check(std::span<const std::byte> bytes) {
  for (const std::byte b : bytes) {
    if (b != pattern(peer_seed_, received_)) corrupted_ = true;
    ++received_;
  }
}

/// True if it is worth reading on.
bool StreamApp::read_once() {
  if (plan_.loans) {
    const auto loan = host_.tcp().recv_loan(connection_, now_);
    if (loan.length != 0) {
      check({loan.data, loan.length});
      host_.tcp().return_loan(loan);
      return true;
    }
  }
  buffer_.resize(1 + random_.below(plan_.max_read));
  const iovec piece{buffer_.data(), buffer_.size()};
  const tcp::Io io = host_.tcp().recv(connection_, {&piece, 1}, false, now_);
  if (io.error == EAGAIN) return false;
  if (io.error != 0) {
    fail(io.error);
    return false;
  }
  if (io.bytes == 0) {
    saw_end_ = true;
    if (shut_ || sent_ >= plan_.send_bytes) end();
    return false;
  }
  check(std::span(buffer_).first(io.bytes));
  return true;
}

void StreamApp::read_some() {
  if (saw_end_) return;
  while (read_once()) {
    if (sent_ + received_ >= plan_.abort_at) return end();
    if (pause(read_at_)) return;
  }
}

void StreamApp::fail(int error) {
  error_ = error;
  end();
}

void StreamApp::end() {
  if (finished_) return;
  finished_ = true;
  if (sent_ + received_ >= plan_.abort_at && error_ == 0) {
    aborted_ = true;
    host_.tcp().abort(connection_, now_);
  } else {
    host_.tcp().close(connection_, now_);
  }
  host_.touch();
}

std::string StreamApp::describe() const {
  std::string s = host_.options().name + ": sent " + std::to_string(sent_) + " of " +
                  std::to_string(plan_.send_bytes) + ", received " + std::to_string(received_);
  if (!opened()) s += ", never opened";
  if (error_ != 0) s += std::string(", ended by ") + std::strerror(error_);
  if (corrupted_) s += ", CORRUPTED";
  if (saw_end_) s += ", saw the end";
  if (finished_) return s + ", finished";
  if (connection_ != 0) {
    const tcp::Connection& c = host_.tcp().conn(connection_);
    s += std::string(", ") + tcp::name(c.state) + " tx " + std::to_string(c.tx.bytes) + " rx " +
         std::to_string(c.rx.bytes) + " wnd " + std::to_string(c.snd.wnd) + " rcv " +
         std::to_string(c.rcv.adv - c.rcv.nxt) + " flags " + std::to_string(c.flags) + " ooo " +
         std::to_string(c.ooo_bytes) + " flight " + std::to_string(c.snd.nxt - c.snd.una);
  }
  return s;
}

}  // namespace ringway::scenario
