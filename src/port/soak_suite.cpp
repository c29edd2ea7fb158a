#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <string>

#include "base/random.h"
#include "port/conformance.h"
#include "port/packet.h"

namespace ringway::port {
namespace {

using Bytes = std::vector<std::byte>;

std::size_t open_files() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    static_cast<void>(entry);
    ++count;
  }
  return count;
}

/// Rounds of a run: by number, or, for scripts/soak, as many as fit into RINGWAY_SOAK_SECONDS.
class Rounds {
 public:
  explicit Rounds(unsigned fewest) : left_(fewest) {
    const char* seconds = std::getenv("RINGWAY_SOAK_SECONDS");
    if (seconds != nullptr) end_ += std::chrono::seconds(std::atoi(seconds));
  }
  bool next() {
    ++done_;
    if (left_ != 0) {
      --left_;
      return true;
    }
    return std::chrono::steady_clock::now() < end_;
  }
  unsigned done() const { return done_; }

 private:
  unsigned left_;
  unsigned done_ = 0;
  std::chrono::steady_clock::time_point end_ = std::chrono::steady_clock::now();
};

}  // namespace

/// One port with everything happening to it in an order that a seed decides. What arrives is what
/// was sent, in order; what a medium or a fault loses is missing, never different.
class Soak {
 public:
  explicit Soak(PortConformance& test) : test_(test) {}

  void step();
  void restart() {
    to_port_.clear();
    from_port_.clear();
    now_ = {};
    test_.restart();
  }
  static std::uint64_t seed_of_run() {
    const char* text = std::getenv("RINGWAY_SOAK_SEED");
    return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
  }

 private:
  Port& port() { return test_.port(); }
  TestPool& pool() { return test_.pool(); }
  std::uint32_t pick(std::uint32_t below) {
    return static_cast<std::uint32_t>(random_.next() % below);
  }
  Bytes some_frame() {
    const auto least =
        static_cast<std::uint32_t>(std::max<std::size_t>(test_.wire().min_frame(), 20));
    const auto most = static_cast<std::uint32_t>(test_.max_plain_frame());
    return test_.pattern(least + pick(most - least + 1), static_cast<unsigned>(random_.next()));
  }
  void arrive();
  void leave();
  void leave_nonsense();
  void starve();
  void fail();
  /// Takes `got` out of what was sent; frames before it are lost.
  static void expect_next(std::deque<Bytes>& sent, const Bytes& got);

  PortConformance& test_;
  base::Random random_ = base::Random::seeded(seed_of_run());
  base::Instant now_{};
  std::deque<Bytes> to_port_;
  std::deque<Bytes> from_port_;
};

void Soak::expect_next(std::deque<Bytes>& sent, const Bytes& got) {
  const auto found = std::find(sent.begin(), sent.end(), got);
  EXPECT_NE(found, sent.end()) << "a frame of " << got.size() << " bytes that nobody sent";
  if (found != sent.end()) sent.erase(sent.begin(), found + 1);
}

void Soak::arrive() {
  for (std::uint32_t i = pick(40); i != 0; --i) {
    Bytes frame = some_frame();
    if (test_.wire().inject(frame)) to_port_.push_back(std::move(frame));
  }
  for (const Bytes& frame : test_.receive_all(1 + pick(64))) expect_next(to_port_, frame);
}

void Soak::leave() {
  for (std::uint32_t i = pick(40); i != 0; --i) {
    const Bytes frame = some_frame();
    if (pick(4) != 0) {
      if (test_.send(frame)) from_port_.push_back(frame);
      continue;
    }
    const std::size_t cut = 1 + pick(static_cast<std::uint32_t>(frame.size() - 1));
    std::array<mem::FrameDesc, 2> chain{pool().frame(std::span(frame).first(cut)),
                                        pool().frame(std::span(frame).subspan(cut))};
    chain[0].flags = mem::kFrameMore;
    if (port().tx_burst(chain) == 2) {
      from_port_.push_back(frame);
    } else {
      free_packet(pool().pool(), chain);
    }
  }
  port().reclaim();
  while (const auto frame = test_.wire().collect()) expect_next(from_port_, *frame);
}

void Soak::leave_nonsense() {
  mem::FrameDesc desc = pool().frame(some_frame());
  desc.offset = static_cast<std::uint16_t>(pool().pool().slot_size() - 1 - pick(10));
  desc.length = static_cast<std::uint16_t>(20 + pick(60000));
  const std::uint64_t bad = port().counters().tx_bad;
  ASSERT_EQ(port().tx_burst({&desc, 1}), 1U);
  EXPECT_EQ(port().counters().tx_bad, bad + 1);
}

/// The pool is empty for a while.
void Soak::starve() {
  std::vector<std::uint32_t> all;
  for (std::uint32_t slot; (slot = pool().pool().allocate()) != mem::FramePool::kNone;) {
    all.push_back(slot);
  }
  Bytes frame = some_frame();
  if (test_.wire().inject(frame)) to_port_.push_back(std::move(frame));
  for (const Bytes& got : test_.receive_all(8)) expect_next(to_port_, got);
  for (const std::uint32_t slot : all) pool().pool().free(slot);
}

void Soak::fail() {
  if (!test_.wire().take_down()) return;
  now_ = now_ + base::Duration::seconds(1);
  port().advance(now_);
  for (int i = 0; i < 5; ++i) static_cast<void>(test_.send(some_frame()));
  test_.receive_all();
  ASSERT_TRUE(test_.wire().bring_up());
  while (test_.wire().collect()) {
  }
  test_.receive_all();
  to_port_.clear();
  from_port_.clear();
}

void Soak::step() {
  now_ = now_ + base::Duration::milliseconds(1 + pick(300));
  port().advance(now_);
  const std::uint32_t what = pick(100);
  if (what < 45) return arrive();
  if (what < 90) return leave();
  if (what < 94) return leave_nonsense();
  if (what < 97) return starve();
  if (what < 98) return fail();
  if (port().arm()) test_.receive_all();
}

TEST_P(PortConformance, SoakOfEverythingAtRandom_LeaksNothing) {
  SCOPED_TRACE("RINGWAY_SOAK_SEED=" + std::to_string(Soak::seed_of_run()));
  Rounds rounds(3);
  Soak soak(*this);
  std::size_t files = 0;
  while (rounds.next() && !HasFailure()) {
    for (int i = 0; i < 100 && !HasFailure(); ++i) soak.step();
    ASSERT_NO_FATAL_FAILURE(soak.restart()) << "round " << rounds.done();
    // From the second round on, all that is made on first use has been made.
    files = rounds.done() <= 2 ? open_files() : files + wire().files_lost();
    EXPECT_LE(open_files(), files) << "round " << rounds.done();
  }
  RecordProperty("rounds", static_cast<int>(rounds.done()));
}

}  // namespace ringway::port
