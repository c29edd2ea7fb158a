// A busy channel allocates nothing. malloc itself is counted: operator new comes down to it.

#include <cstdlib>

#include "channel/test_channel.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {
thread_local bool counting = false;
thread_local std::uint64_t allocations = 0;
void note() {
  if (counting) ++allocations;
}
}  // namespace

// glibc's own names for what is replaced here (malloc(3), "Replacing malloc").
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
__attribute__((visibility("default"))) void* malloc(std::size_t size) {
  note();
  return __libc_malloc(size);
}
__attribute__((visibility("default"))) void* calloc(std::size_t count, std::size_t size) {
  note();
  return __libc_calloc(count, size);
}
__attribute__((visibility("default"))) void* realloc(void* old, std::size_t size) {
  note();
  return __libc_realloc(old, size);
}
__attribute__((visibility("default"))) void* aligned_alloc(std::size_t alignment,
                                                           std::size_t size) {
  note();
  return __libc_memalign(alignment, size);
}
}

namespace ringway {
namespace {

TEST_F(ChannelTest, BusyChannel_AllocatesNothing) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  const Endpoint at = Endpoint::loopback_v4(channel->local(pair.listener).port);
  std::array<char, 4096> buffer{};
  std::array<char, 4096> message{};
  std::array<Completion, 64> done;
  channel->read(pair.server, buffer.data(), buffer.size(), 1, kStanding);
  channel->lend(pair.client, 2);
  counting = true;
  int* volatile probe = new int;  // volatile: not to be optimized away
  delete probe;
  ASSERT_NE(allocations, 0U) << "the hook counts";
  allocations = 0;
  std::uint64_t reads = 0;
  for (int round = 0; round < 2000; ++round) {
    channel->write(pair.client, message.data(), round % 2 == 0 ? 64 : message.size(), 0);
    channel->write(pair.server, message.data(), 64, 0, kQuiet);
    channel->timer(Clock::now(), 3);
    if (round % 16 == 0) channel->connect(at, 4);
    for (std::size_t n = channel->poll(done); n != 0; n = channel->poll(done)) {
      for (const Completion& c : std::span(done).first(n)) {
        if (c.operation == Operation::kLend) channel->release(c);
        if (c.operation == Operation::kConnect || c.operation == Operation::kAccept) {
          channel->close(c.handle, 0, kQuiet);
        }
        reads += c.operation == Operation::kRead ? 1 : 0;
      }
    }
  }
  counting = false;
  EXPECT_EQ(allocations, 0U);
  EXPECT_GE(reads, 2000U);
}

}  // namespace
}  // namespace ringway

#endif
