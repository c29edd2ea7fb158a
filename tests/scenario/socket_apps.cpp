#include "tests/scenario/socket_apps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace ringway::scenario {
namespace {

std::byte pattern(std::uint64_t seed, std::uint32_t at) {
  return static_cast<std::byte>((seed + at) * 0x9e3779b97f4a7c15U >> 56);
}

std::byte digit(std::uint32_t number, std::uint32_t at) {
  return static_cast<std::byte>(number >> (8 * at));
}

}  // namespace

StreamEnd::StreamEnd(StackHost& host, const Plans& plans, std::uint32_t number,
                     std::uint32_t socket)
    : host_(host),
      plans_(plans),
      client_(true),
      number_(number),
      socket_(socket),
      random_(base::Random::seeded(plans[number].client.seed)),
      connecting_(true) {
  host_.add(*this);
  host_.watch(socket, *this);
}

StreamEnd::StreamEnd(StackHost& host, const Plans& plans, std::uint32_t socket)
    : host_(host),
      plans_(plans),
      client_(false),
      socket_(socket),
      random_(base::Random::seeded(socket)),
      connecting_(false) {
  host_.add(*this);
  host_.watch(socket, *this);
}

const EndPlan& StreamEnd::plan() const {
  return client_ ? plans_[number_].client : plans_[number_].server;
}
const EndPlan& StreamEnd::peer_plan() const {
  return client_ ? plans_[number_].server : plans_[number_].client;
}
std::uint32_t StreamEnd::expected() const {
  if (!known() || plan().early_close) return received_;
  return peer_plan().send_bytes + (client_ ? 0 : kNumberBytes);
}
std::uint32_t StreamEnd::to_send() const {
  return plan().send_bytes + (client_ ? kNumberBytes : 0);
}
std::byte StreamEnd::outgoing(std::uint32_t at) const {
  if (!client_) return pattern(plan().seed, at);
  return at < kNumberBytes ? digit(number_, at) : pattern(plan().seed, at - kNumberBytes);
}

void StreamEnd::step(base::Instant now) {
  if (closed_) return;
  resume_ = base::Instant::never();
  host_.touch();
  if (connecting_ && !settle(now)) return;
  if (!closed_) read(now);
  if (!closed_ && known()) write(now);
  if (!closed_ && known()) finish(now);
}

bool StreamEnd::settle(base::Instant now) {
  const int result = host_.sockets().connect_again(socket_, now);
  if (result == -EALREADY) return false;
  connecting_ = false;
  if (result != 0) fail(-result, now);
  return result == 0;
}

/// True if the application does something else for a while.
bool StreamEnd::pause(base::Instant now) {
  if (!known() || !random_.chance_ppm(plan().pause_ppm)) return false;
  const auto most = static_cast<std::uint32_t>(plan().max_pause.ns / 1000);
  resume_ = now + base::Duration::microseconds(1 + random_.below(most + 1));
  return true;
}

void StreamEnd::read(base::Instant now) {
  while (!fin_received_ && !(known() && plan().early_close)) {
    if (pause(now)) return;
    const std::uint32_t most = known() ? plan().max_read : kNumberBytes - received_;
    buffer_.resize(1 + random_.below(most));
    const iovec to{buffer_.data(), buffer_.size()};
    const ssize_t n = host_.sockets().receive(socket_, {&to, 1}, 0, now);
    if (n == -EAGAIN) return;
    if (n < 0) return fail(static_cast<int>(-n), now);
    if (n == 0) fin_received_ = true;
    check(std::span(buffer_).first(static_cast<std::size_t>(n)));
  }
}

void StreamEnd::check(std::span<const std::byte> bytes) {
  for (const std::byte b : bytes) {
    check_byte(b);
    ++received_;
  }
}

void StreamEnd::check_byte(std::byte b) {
  if (!client_ && received_ < kNumberBytes) {
    heard_number_ |= static_cast<std::uint32_t>(b) << (8 * received_);
    if (received_ + 1 != kNumberBytes) return;
    corrupted_ = heard_number_ >= plans_.size();
    if (!corrupted_) number_ = heard_number_;
    return;
  }
  const std::uint32_t at = received_ - (client_ ? 0 : kNumberBytes);
  if (!known() || b != pattern(peer_plan().seed, at)) corrupted_ = true;
}

void StreamEnd::write(base::Instant now) {
  while (sent_ < to_send()) {
    if (sent_ + received_ >= plan().reset_at) return;
    if (pause(now)) return;
    const std::uint32_t n = std::min(1 + random_.below(plan().max_write), to_send() - sent_);
    buffer_.resize(n);
    for (std::uint32_t i = 0; i < n; ++i) buffer_[i] = outgoing(sent_ + i);
    const iovec from{buffer_.data(), n};
    const ssize_t done = host_.sockets().send(socket_, {&from, 1}, MSG_NOSIGNAL, now);
    if (done == -EAGAIN) return;
    if (done < 0) return fail(static_cast<int>(-done), now);
    sent_ += static_cast<std::uint32_t>(done);
  }
}

void StreamEnd::finish(base::Instant now) {
  if (sent_ + received_ >= plan().reset_at) {
    const linger at_once{1, 0};
    host_.sockets().set_option(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once, now);
    return close(now);
  }
  if (sent_ < to_send()) return;
  if (plan().early_close) return close(now);
  if (!fin_sent_ && (!plan().fin_last || fin_received_)) {
    fin_sent_ = true;
    const int result = host_.sockets().shutdown(socket_, SHUT_WR, now);
    if (result != 0) return fail(-result, now);
  }
  if (fin_sent_ && fin_received_) close(now);
}

void StreamEnd::fail(int error, base::Instant now) {
  error_ = error;
  close(now);
}

void StreamEnd::close(base::Instant now) {
  closed_ = true;
  resume_ = base::Instant::never();
  host_.close(socket_, now);
}

std::string StreamEnd::describe() const {
  return fmt::format("{} {}: sent {}, received {}, fin {}/{}, closed {}, corrupted {}, error {}",
                     client_ ? "client" : "server", number_, sent_, received_, fin_sent_,
                     fin_received_, closed_, corrupted_, error_);
}

Server::Server(StackHost& host, const Plans& plans, bool v6, const tcp::Options& options)
    : host_(host), plans_(plans) {
  socket_ = host.sockets().create(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, StackHost::kHolder);
  host.sockets().at(socket_).options = options;
  host.sockets().bind(socket_, {host.address(v6), kPort});
  host.sockets().listen(socket_, 8);
  host.watch(socket_, *this);
}

void Server::on_ready(std::uint32_t, std::uint32_t, base::Instant) {
  for (;;) {
    const int made = host_.sockets().accept(socket_, StackHost::kHolder, nullptr);
    if (made < 0) return;
    ends_.push_back(std::make_unique<StreamEnd>(host_, plans_, static_cast<std::uint32_t>(made)));
  }
}

bool Server::finished() const {
  return std::all_of(ends_.begin(), ends_.end(), [](const auto& end) { return end->finished(); });
}

std::string Server::describe() const {
  std::string s = "server";
  for (const auto& end : ends_) s += "\n    " + end->describe();
  return s;
}

base::Instant Client::next_event() const {
  const bool ready = next_ != last_ && (ends_.empty() || ends_.back()->finished());
  return ready ? retry_ : base::Instant::never();
}

void Client::on_time(base::Instant now) {
  const std::uint32_t socket =
      host_.connect(*target_.peer, target_.port, target_.v6, target_.options, now);
  // All ports wait out TIME-WAIT.
  retry_ = socket == 0 ? now + base::Duration::seconds(1) : base::Instant{};
  if (socket == 0) return;
  ends_.push_back(std::make_unique<StreamEnd>(host_, plans_, next_++, socket));
}

std::string Client::describe() const {
  std::string s = fmt::format("client, next {} of {}", next_, last_);
  for (const auto& end : ends_) s += "\n    " + end->describe();
  return s;
}

Datagrams::Datagrams(StackHost& host, StackHost& peer, std::uint32_t count, std::uint64_t seed)
    : host_(host),
      peer_(peer),
      random_(base::Random::seeded(seed)),
      left_(count),
      socket_(open(kPort)),
      lonely_(open(kPort + 1)) {
  host_.sockets().connect_datagram(lonely_, host_.address(false), {peer_.address(false), kPort + 2},
                                   host_.path_to(peer_, false));
  host_.add(*this);
}

std::uint32_t Datagrams::open(std::uint16_t port) {
  const std::uint32_t socket = host_.sockets().create(AF_INET, SOCK_DGRAM, StackHost::kHolder);
  host_.sockets().bind(socket, {host_.address(false), port});
  host_.watch(socket, *this);
  return socket;
}

// The first four bytes are the seed of the rest.
void Datagrams::send(std::uint32_t socket, std::uint16_t port, std::uint32_t length) {
  const auto seed = static_cast<std::uint32_t>(random_.next());
  std::vector<std::byte> bytes(length);
  for (std::uint32_t i = 0; i < length; ++i) {
    bytes[i] = i < 4 ? digit(seed, i) : pattern(seed, length + i);
  }
  const iovec from{bytes.data(), bytes.size()};
  const ssize_t n = host_.sockets().send_datagram(socket, {&from, 1}, {peer_.address(false), port},
                                                  host_.path_to(peer_, false));
  if (socket == lonely_ && n == -ECONNREFUSED) refused_ = true;
}

void Datagrams::on_time(base::Instant now) {
  host_.touch();
  if (left_ != 0) {
    --left_;
    send(socket_, kPort, 4 + random_.below(random_.below(2) == 0 ? 400 : 9000));
  }
  if (!refused_) send(lonely_, kPort + 2, 20);
  next_ = finished() ? base::Instant::never()
                     : now + base::Duration::microseconds(1 + random_.below(20'000));
}

void Datagrams::on_ready(std::uint32_t socket, std::uint32_t, base::Instant) {
  if (socket == socket_) receive();
}

void Datagrams::receive() {
  std::vector<std::byte> bytes(10'000);
  const iovec to{bytes.data(), bytes.size()};
  for (;;) {
    const ssize_t n = host_.sockets().receive_datagram(socket_, {&to, 1}, 0, nullptr, nullptr);
    if (n < 0) return;
    ++received_;
    const auto length = static_cast<std::uint32_t>(n);
    std::uint32_t seed = 0;
    for (std::uint32_t i = 0; i < std::min(length, 4U); ++i) {
      seed |= static_cast<std::uint32_t>(bytes[i]) << (8 * i);
    }
    if (length < 4) corrupted_ = true;
    for (std::uint32_t i = 4; i < length; ++i) {
      if (bytes[i] != pattern(seed, length + i)) corrupted_ = true;
    }
  }
}

void Datagrams::stop(base::Instant now) {
  host_.close(socket_, now);
  host_.close(lonely_, now);
}

std::string Datagrams::describe() const {
  return fmt::format("datagrams: {} left, {} received, refused {}, corrupted {}", left_, received_,
                     refused_, corrupted_);
}

}  // namespace ringway::scenario
