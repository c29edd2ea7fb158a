// A hostile peer on a link: it writes what it likes into the shared memory, at any time, while the
// stack turns and a user reads and writes. Nothing is read or written outside of the mappings, and
// a connection of another link lives on. Input: records of [what, argument (2 bytes), length,
// bytes...].

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "fuzz/require.h"
#include "stack/test_pair.h"

using ringway::fuzz::require;
namespace base = ringway::base;
namespace driver = ringway::driver;
namespace ring = ringway::ring;
namespace stack = ringway::stack;
namespace tcp = ringway::tcp;

namespace {

constexpr base::IpAddress kLocal = base::IpAddress::v4(127, 0, 0, 1);

struct Input {
  const std::uint8_t* at;
  std::size_t left;

  std::uint8_t byte() {
    if (left == 0) return 0;
    --left;
    return *at++;
  }
  std::uint16_t word() {
    const std::uint8_t high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  std::span<const std::uint8_t> take(std::size_t n) {
    n = n < left ? n : left;
    const std::span<const std::uint8_t> bytes(at, n);
    at += n;
    left -= n;
    return bytes;
  }
};

/// The attacker's hands: everything that side 0 can write. Side 1 is the stack under attack.
class Attacker {
 public:
  explicit Attacker(driver::LinkMemory& memory)
      : to_(memory.direction(0)), from_(memory.direction(1)), memory_(memory) {}

  void act(std::uint8_t what, std::uint16_t argument, std::span<const std::uint8_t> bytes) {
    switch (what % 8) {
      case 0:  // a frame in a slot, published
      case 1:
        write(to_.slots[next_ % ring::kSlots].data.data(), bytes, ring::Slot::kInlineBytes);
        publish(static_cast<std::uint16_t>(bytes.size()), ringway::mem::kFrameInline);
        break;
      case 2:  // the same with a length and flags of its own
        write(to_.slots[next_ % ring::kSlots].data.data(), bytes, ring::Slot::kInlineBytes);
        publish(argument, static_cast<std::uint8_t>(argument >> 3));
        break;
      case 3:  // a frame by reference
        by_reference(argument, bytes);
        break;
      case 4:  // sequence numbers
        to_.slots[argument % ring::kSlots].seq.store(argument * 7919U);
        break;
      case 5:  // returned frames
        from_.returned[argument % ring::kReturnSlots].store(static_cast<std::uint32_t>(argument)
                                                            << (argument % 16));
        from_.return_tail.store(from_.return_tail.load() + argument % 5);
        break;
      case 6:
        from_.consumed.store(from_.consumed.load() + argument);
        break;
      default:
        from_.hot.store(argument & 1U);
        from_.mark_bit.store(argument * 31U);
        to_.wants_room.store(argument & 2U);
        break;
    }
  }

 private:
  static void write(std::byte* to, std::span<const std::uint8_t> bytes, std::size_t most) {
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size() < most ? bytes.size() : most);
  }
  void publish(std::uint16_t length, std::uint8_t flags) {
    ring::Slot& slot = to_.slots[next_ % ring::kSlots];
    slot.length = length;
    slot.flags = flags;
    slot.seq.store(++next_);
  }
  void by_reference(std::uint16_t argument, std::span<const std::uint8_t> bytes) {
    ringway::mem::FrameDesc desc;
    desc.slot = argument % (ring::kFrames + 8);
    desc.offset = static_cast<std::uint16_t>(argument * 13);
    desc.length = static_cast<std::uint16_t>(bytes.size() + argument % 7 * 9000U);
    const std::size_t at = (std::size_t{desc.slot} * ring::kSmallSlotBytes + desc.offset) %
                           (driver::LinkMemory::kRegionBytes - 256);
    write(memory_.region(0) + at, bytes, 256);
    std::memcpy(to_.slots[next_ % ring::kSlots].data.data(), &desc, sizeof desc);
    publish(0, 0);
  }

  ring::Direction& to_;
  ring::Direction& from_;
  driver::LinkMemory& memory_;
  std::uint32_t next_ = 0;
};

/// What the program under attack does meanwhile.
void use(stack::Stack& stack, std::uint32_t connection, base::Instant now) {
  std::byte buffer[4096];
  const iovec piece{buffer, sizeof buffer};
  stack.tcp().recv(connection, {&piece, 1}, false, now);
  const iovec more{buffer, 900};
  stack.tcp().send(connection, {&more, 1}, false, now);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  stack::StackPair good;  // b talks to a, honestly
  stack::Stack& victim = *good.b.stack;
  const auto listener = victim.tcp().listen({kLocal, 80}, 16, 0, {});
  const std::uint32_t path = good.a.stack->path_for(good.a.link, kLocal, kLocal);
  const auto honest =
      good.a.stack->tcp().connect({kLocal, 50'000}, {kLocal, 80}, path, 0, {}, good.now);
  good.run();
  const std::uint32_t accepted = victim.tcp().accept(listener.index);
  require(accepted != 0);

  stack::StackPair::End attacker = stack::StackPair::make(3);
  const base::UniqueFd fd(*driver::LinkMemory::create());
  stack::StackPair::join(good.b, attacker, fd.get(), false);
  driver::LinkMemory memory = std::move(*driver::LinkMemory::map(fd.get()));
  Attacker hands(memory);
  const std::uint32_t way = victim.path_for(good.b.link, kLocal, kLocal);
  const auto attacked = victim.tcp().connect({kLocal, 40'000}, {kLocal, 666}, way, 0, {}, good.now);

  Input input{data, size};
  while (input.left != 0) {
    const std::uint8_t what = input.byte();
    const std::uint16_t argument = input.word();
    hands.act(what, argument, input.take(input.byte()));
    if ((what & 0x40) != 0) good.run();
    if ((what & 0x80) != 0 && attacked.index != 0) use(victim, attacked.index, good.now);
  }
  good.run();
  require(victim.tcp().state(accepted) == tcp::State::kEstablished);
  require(good.a.stack->tcp().state(honest.index) == tcp::State::kEstablished);
  victim.take_link_down(good.b.link, good.now);
  return 0;
}
