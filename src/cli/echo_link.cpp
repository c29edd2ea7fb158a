#include "cli/echo_link.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/sys.h"
#include "cli/echo_frame.h"
#include "driver/link/link_memory.h"
#include "mem/arena.h"
#include "ring/barrier.h"
#include "ring/slot_receiver.h"
#include "ring/slot_sender.h"

namespace ringway::cli {

using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

base::Instant now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return {time.tv_sec * 1'000'000'000 + time.tv_nsec};
}

constexpr base::Duration kSpin = base::Duration::microseconds(200);

}  // namespace

struct EchoLink::Parts {
  UniqueFd arena, mailbox_fd, doorbell, life_reader, life_writer;
  driver::MailboxMemory mailbox;
  control::Link link;
  driver::LinkMemory memory;
  driver::MailboxMemory peer_mailbox;
  ring::SenderState sender_state{};
  ring::ReceiverState receiver_state{};
  ring::SlotSender sender;
  ring::SlotReceiver receiver;

  Result<void> make_stack();
  Result<void> connect(control::Client& client, steering::StackId peer);
  Result<void> send(std::span<const std::byte> frame);
  bool received(const EchoKey& key);
  void sleep(base::Instant deadline);
};

Result<void> EchoLink::Parts::make_stack() {
  constexpr std::size_t kOnePage = 4096;
  auto memfd = mem::make_sealed_memfd("ringway-ping", kOnePage);
  if (!memfd) return tl::unexpected(std::move(memfd).error());
  arena = UniqueFd(*memfd);
  auto box = driver::MailboxMemory::create();
  if (!box) return tl::unexpected(std::move(box).error());
  mailbox_fd = UniqueFd(*box);
  auto mapped = driver::MailboxMemory::map(mailbox_fd.get());
  if (!mapped) return tl::unexpected(std::move(mapped).error());
  mailbox = std::move(*mapped);
  doorbell = UniqueFd(sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  std::array<int, 2> life{-1, -1};
  if (!doorbell || sys::pipe2(life.data(), O_CLOEXEC) != 0) {
    return base::fail_errno("cannot make the descriptors of a stack");
  }
  life_reader = UniqueFd(life[0]);
  life_writer = UniqueFd(life[1]);
  return {};
}

Result<void> EchoLink::Parts::connect(control::Client& client, steering::StackId peer) {
  auto id =
      client.register_stack({arena.get(), mailbox_fd.get(), doorbell.get(), life_reader.get()});
  if (!id) return tl::unexpected(std::move(id).error());
  auto made = driver::LinkMemory::create();
  if (!made) return tl::unexpected(std::move(made).error());
  const UniqueFd fd(*made);
  auto opened = client.open_link(*id, peer, fd.get());
  if (!opened) return tl::unexpected(std::move(opened).error());
  link = std::move(*opened);
  auto mapped = driver::LinkMemory::map(link.memory.get());
  if (!mapped) return tl::unexpected(std::move(mapped).error());
  memory = std::move(*mapped);
  auto box = driver::MailboxMemory::map(link.mailbox.get());
  if (!box) return tl::unexpected(std::move(box).error());
  peer_mailbox = std::move(*box);
  const unsigned to = link.side == 0 ? 0 : 1;
  sender = ring::SlotSender(&sender_state, &memory.direction(to), memory.region(to));
  receiver = ring::SlotReceiver(&receiver_state, &memory.direction(1 - to), memory.region(1 - to));
  receiver.set_mark_bit(0);
  return {};
}

Result<void> EchoLink::Parts::send(std::span<const std::byte> frame) {
  const auto room = sender.reserve(static_cast<std::uint32_t>(frame.size()));
  if (room.data == nullptr) {
    return base::fail(base::ErrorCode::kUnavailable, "the program does not read its link");
  }
  std::memcpy(room.data, frame.data(), frame.size());
  sender.commit(room, static_cast<std::uint32_t>(frame.size()), {});
  if (peer_mailbox.get()->knock(sender.mark_bit())) {
    const std::uint64_t one = 1;
    (void)!sys::write(link.doorbell.get(), &one, sizeof one);
  }
  return {};
}

bool EchoLink::Parts::received(const EchoKey& key) {
  bool found = false;
  for (auto frame = receiver.next(); frame.data != nullptr; frame = receiver.next()) {
    found = found || is_echo_reply({frame.data, frame.desc.length}, key);
    if ((frame.desc.flags & mem::kFrameInline) == 0) receiver.release(&frame.desc.slot, 1);
  }
  receiver.publish();
  return found;
}

void EchoLink::Parts::sleep(base::Instant deadline) {
  mailbox.get()->sleeping.store(1, std::memory_order_release);
  const bool ordered = ring::AsymmetricBarrier::heavy();
  if (!receiver.ready()) {
    auto left = deadline - now();
    // Without the barrier a bell may be missed: look again after a tick.
    if (!ordered) left = std::min(left, base::Duration::milliseconds(1));
    timespec timeout{std::max<std::int64_t>(left.ns, 0) / 1'000'000'000,
                     std::max<std::int64_t>(left.ns, 0) % 1'000'000'000};
    pollfd waited{doorbell.get(), POLLIN, 0};
    sys::ppoll(&waited, 1, &timeout);
  }
  mailbox.get()->sleeping.store(0, std::memory_order_release);
  std::uint64_t rings = 0;
  (void)!sys::read(doorbell.get(), &rings, sizeof rings);
}

EchoLink::EchoLink(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
EchoLink::EchoLink(EchoLink&&) noexcept = default;
EchoLink& EchoLink::operator=(EchoLink&&) noexcept = default;
EchoLink::~EchoLink() = default;

steering::StackId EchoLink::stack() const { return parts_->link.stack; }

Result<EchoLink> EchoLink::open(control::Client& client, steering::StackId peer) {
  ring::AsymmetricBarrier::enrol();
  auto parts = std::make_unique<Parts>();
  if (auto made = parts->make_stack(); !made) return tl::unexpected(std::move(made).error());
  if (auto linked = parts->connect(client, peer); !linked) {
    return tl::unexpected(std::move(linked).error());
  }
  return EchoLink(std::move(parts));
}

Result<std::optional<base::Duration>> EchoLink::ping(const Request& request,
                                                     base::Duration timeout) {
  const EchoKey key{request.from, request.to, static_cast<std::uint16_t>(::getpid()),
                    request.sequence};
  const auto frame = make_echo_request(key, request.payload_bytes);
  const auto sent_at = now();
  if (auto sent = parts_->send(frame); !sent) return tl::unexpected(std::move(sent).error());
  for (;;) {
    if (parts_->received(key)) return now() - sent_at;
    const auto waited = now() - sent_at;
    if (waited >= timeout) return std::nullopt;
    if (waited >= kSpin) parts_->sleep(sent_at + timeout);
  }
}

}  // namespace ringway::cli
