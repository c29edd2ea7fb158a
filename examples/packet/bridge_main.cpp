#include <array>

#include "forward.h"

// Joins two ports: rw-example-bridge vale0:a vale1:b. What comes in on one goes out on the other;
// buffers are swapped, not copied, if the ports share memory.

namespace {

/// Frames for which there is no room wait in their ring.
void pass(Port& from, Port& to) {
  Ring& in = from.rx();
  Ring& out = to.tx();
  const std::uint32_t count = std::min(in.available(), out.available());
  const bool swap_buffers = from.shares_memory(to);
  for (std::uint32_t i = 0; i < count; ++i) move_frame(in, in[i], out, swap_buffers);
  in.advance(count);
  to.send();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s PORT PORT\n", argv[0]);
    return 2;
  }
  stop_by_signal();
  const auto a = open_or_tell(argv[1]);
  const auto b = a != nullptr ? open_or_tell(argv[2], a.get()) : nullptr;
  if (b == nullptr) return 1;
  std::printf("%s and %s are joined%s\n", argv[1], argv[2],
              a->shares_memory(*b) ? ", without copies" : "");
  std::fflush(stdout);
  const std::array<Port*, 2> both{a.get(), b.get()};
  while (stopped == 0) {
    Port::wait(both, 200);
    pass(*a, *b);
    pass(*b, *a);
  }
  return 0;
}
