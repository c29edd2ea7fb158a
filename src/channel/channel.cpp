// The public face.

#include "ringway/channel.h"

#include <unistd.h>

#include "base/address.h"
#include "channel/core.h"
#include "channel/endpoint.h"

namespace ringway {
namespace {

base::Instant to_instant(Clock::time_point t) {
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count()};
}

}  // namespace

Channel::Channel(const ChannelOptions& options) : core_(std::make_unique<Core>(options, queue_)) {}

Channel::~Channel() {
  // A forked child has neither the keeper thread nor a hold of the stack.
  if (core_ != nullptr && !core_->made_here()) static_cast<void>(core_.release());
}

std::unique_ptr<Channel> Channel::open(const ChannelOptions& options, Failure* failure) {
  std::unique_ptr<Channel> channel(new Channel(options));
  if (!channel->core_->join(failure)) return nullptr;
  return channel;
}

Handle Channel::timer(Clock::time_point when, std::uint64_t user_data) {
  return core_->timer(to_instant(when), user_data);
}
bool Channel::cancel(Handle timer) { return core_->cancel(timer); }
std::size_t Channel::submit() { return core_->submit(); }
std::size_t Channel::poll(std::span<Completion> out) { return core_->poll(out); }
int Channel::wait(std::span<Completion> out, std::size_t least, Clock::time_point deadline) {
  return core_->wait(out, least, to_instant(deadline));
}
int Channel::arm(Clock::time_point* deadline) { return core_->arm(deadline); }
Endpoint Channel::local(Handle handle) { return core_->endpoint(handle, false); }
Endpoint Channel::peer(Handle connection) { return core_->endpoint(connection, true); }

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  const auto address = base::parse_ip(host);
  std::uint32_t port = 0;
  const std::string_view digits = text.substr(colon + 1);
  if (!address || digits.empty() || digits.size() > 5) return std::nullopt;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (port > 65535) return std::nullopt;
  return Endpoint{address->bytes, static_cast<std::uint16_t>(port)};
}

std::string Endpoint::text() const { return base::to_string(channel::to_internal(*this)); }

}  // namespace ringway
