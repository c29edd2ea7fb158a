// Any sequence of messages from a program that has joined: ringwayd answers or drops it, and serves
// the next.
//
// Input: records of  type(1)  flags(1)  fields(n);  n is the length of the type's fields.
//   flags bit 0..2: how many descriptors are passed; bit 3: as many as the type wants
//   bit 4: one byte less, bit 5: one byte more, bit 6: another version, bit 7: a stack that dies
//   afterwards

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/sys.h"
#include "control/daemon/daemon.h"
#include "control/proto/channel.h"
#include "control/proto/stacks.h"
#include "fuzz/require.h"
#include "mem/arena.h"
#include "steering/table.h"

using ringway::base::UniqueFd;
using ringway::fuzz::require;
namespace sys = ringway::base::sys;
namespace control = ringway::control;
namespace proto = ringway::control::proto;

namespace {

/// One daemon for the whole run: what a session leaves behind, the next one meets.
class Bench {
 public:
  Bench() {
    std::string pattern = "/tmp/ringway-fuzz-XXXXXX";
    require(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
    control::daemon::DaemonOptions options;
    options.directory = path_;
    options.stay = true;
    auto opened = control::daemon::Daemon::open(std::move(options));
    require(opened.has_value());
    daemon_ = std::move(*opened);
    for (auto* memory : {&arena_, &mailbox_}) {
      *memory = UniqueFd(ringway::mem::make_sealed_memfd("fuzz", 4096).value());
    }
    doorbell_ = UniqueFd(sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    // One program stays, and with it the network.
    resident_ = connect();
    proto::Hello hello;
    ringway::steering::set_text(hello.network, "default");
    require(proto::send(resident_.get(), hello, 1).has_value());
    turn();
  }
  ~Bench() {
    daemon_.reset();
    std::filesystem::remove_all(path_);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  UniqueFd connect() {
    std::array<int, 2> ends{-1, -1};
    require(sys::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                            ends.data()) == 0);
    daemon_->state().add_session(UniqueFd(ends[1]), ::getpid());
    return UniqueFd(ends[0]);
  }
  /// A life pipe; the writer's closing is the death of the stack.
  UniqueFd new_life() {
    std::array<int, 2> ends{-1, -1};
    require(sys::pipe2(ends.data(), O_CLOEXEC) == 0);
    life_ = UniqueFd(ends[0]);
    return UniqueFd(ends[1]);
  }
  std::array<int, 4> fds() const {
    return {arena_.get(), mailbox_.get(), doorbell_.get(), life_.get()};
  }
  void turn() {
    daemon_->turn(0);
    daemon_->state().ending = false;
  }

 private:
  std::string path_;
  std::unique_ptr<control::daemon::Daemon> daemon_;
  UniqueFd arena_, mailbox_, doorbell_, life_, resident_;
};

Bench& bench() {
  static Bench only;
  return only;
}

void drain(int socket) {
  while (auto message = proto::receive(socket)) {
    if (message->size == 0) return;
    require(proto::check(*message).has_value());
  }
}

void join(int socket) {
  proto::Hello hello;
  ringway::steering::set_text(hello.network, "default");
  require(proto::send(socket, hello, 1).has_value());
  proto::RegisterStack stack;
  require(proto::send(socket, stack, 2, bench().fds()).has_value());
  bench().turn();
  bench().turn();
  drain(socket);
}

/// Sends the next record of `input` and takes it away. False when the session is over.
bool send_record(int socket, std::span<const std::uint8_t>& input) {
  const auto type = static_cast<proto::Type>(input[0]);
  const auto flags = input[1];
  input = input.subspan(2);
  const auto shape = proto::shape_of(type);
  std::vector<std::byte> text(std::max(shape.bytes, sizeof(proto::Head)));
  const auto taken = std::min(text.size() - sizeof(proto::Head), input.size());
  if (taken != 0) std::memcpy(text.data() + sizeof(proto::Head), input.data(), taken);
  input = input.subspan(taken);
  if ((flags & 16) != 0) text.pop_back();
  if ((flags & 32) != 0) text.push_back(std::byte{1});
  proto::Head head{proto::kMagic, proto::kVersion, type, static_cast<std::uint32_t>(text.size()),
                   5};
  if ((flags & 64) != 0) ++head.version;
  std::memcpy(text.data(), &head, std::min(sizeof head, text.size()));
  const auto all = bench().fds();
  const std::size_t wanted = (flags & 8) != 0 ? shape.fds : flags & 7U;
  return proto::send_bytes(socket, text, std::span(all).first(std::min(wanted, all.size())))
      .has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span input(data, size);
  UniqueFd life = bench().new_life();
  UniqueFd socket = bench().connect();
  join(socket.get());
  for (int records = 0; input.size() >= 2 && records < 64; ++records) {
    const bool dies = (input[1] & 128) != 0;
    if (!send_record(socket.get(), input)) break;
    bench().turn();
    drain(socket.get());
    if (dies) life = bench().new_life();
  }
  life.reset();
  socket.reset();
  bench().turn();
  // Whatever came, the next program is served.
  UniqueFd next_life = bench().new_life();
  UniqueFd next = bench().connect();
  proto::Hello hello;
  ringway::steering::set_text(hello.network, "default");
  require(proto::send(next.get(), hello, 1).has_value());
  bench().turn();
  const auto answer = proto::receive(next.get());
  require(answer && answer->head().type == proto::Type::kHelloReply);
  next.reset();
  bench().turn();
  return 0;
}
