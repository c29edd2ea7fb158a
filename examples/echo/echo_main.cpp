// Echo: answers every byte of every connection with itself, without copying it on the way in.
//
//     echo PORT

#include <ringway/channel.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

namespace {

using ringway::Completion;
using ringway::Operation;

/// What was lent is written back from where it lies, and released when it is taken: the user_data
/// of a write is the place of its loan.
class Echo {
 public:
  explicit Echo(ringway::Channel& channel) : channel_(channel) {}

  void react(const Completion& c) {
    switch (c.operation) {
      case Operation::kListen:
        if (c.error != 0) std::exit(1);
        channel_.accept(c.handle, 0);
        std::printf("ready %u\n", channel_.local(c.handle).port);
        std::fflush(stdout);
        break;
      case Operation::kAccept:
        if (c.error == 0) lend(c);
        break;
      case Operation::kLend:
        if (c.error != 0) {
          close(c);
        } else if (c.length == 0) {
          half_close(c);
        } else {
          answer(c);
        }
        break;
      case Operation::kHalfClose:
        close(c);
        break;
      case Operation::kWrite:
        give_back(c);
        break;
      default:
        break;
    }
  }

 private:
  void lend(const Completion& c) {
    make_room();
    channel_.lend(c.handle, 0);
  }
  /// Completes behind everything that is still being written.
  void half_close(const Completion& c) {
    make_room();
    channel_.half_close(c.handle, 0);
  }
  void close(const Completion& c) {
    make_room();
    channel_.close(c.handle, 0, ringway::kQuiet);
  }
  void answer(const Completion& c) {
    std::size_t place = 0;
    if (free_.empty()) {
      place = loans_.size();
      loans_.push_back(c);
    } else {
      place = free_.back();
      free_.pop_back();
      loans_[place] = c;
    }
    make_room();
    channel_.write(c.handle, c.data, c.length, place);
  }
  void give_back(const Completion& c) {
    make_room();
    channel_.release(loans_[c.user_data]);
    free_.push_back(c.user_data);
  }
  void make_room() {
    if (channel_.room() < 4) channel_.submit();
  }

  ringway::Channel& channel_;
  std::vector<Completion> loans_;
  std::vector<std::size_t> free_;
};

}  // namespace

int main(int argc, char** argv) {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 7);
  ringway::ChannelOptions options;
  options.program = "echo";
  ringway::Failure failure;
  const auto channel = ringway::Channel::open(options, &failure);
  if (channel == nullptr) {
    std::fprintf(stderr, "echo: %s\n", failure.what.c_str());
    return 1;
  }
  channel->listen(ringway::Endpoint::any_v4(port), 0);
  Echo echo(*channel);
  std::array<Completion, 256> done;
  for (int n = 0; n >= 0; n = channel->wait(done)) {
    for (const Completion& c : std::span(done).first(static_cast<std::size_t>(n))) echo.react(c);
  }
  return 0;
}
