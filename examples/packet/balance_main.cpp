#include <vector>

#include "forward.h"
#include "headers.h"

// Spreads the frames of one port over several by a hash of their flow, the same for both
// directions: rw-example-balance vale0:in x{1 x{2. A full output loses frames; it holds up nobody.

namespace {

struct Output {
  std::unique_ptr<Port> port;
  std::uint64_t frames = 0;
  std::uint64_t lost = 0;
};

void spread(Port& input, std::vector<Output>& outputs) {
  Ring& in = input.rx();
  const std::uint32_t count = in.available();
  std::uint32_t pieces = 0;
  for (std::uint32_t i = 0; i < count; i += pieces) {
    pieces = pieces_of(in, i, count);
    const auto flow = flow_of(in.frame(in[i]));
    const std::uint32_t hash = flow ? symmetric_hash(*flow) : 0;
    Output& output = outputs[hash % outputs.size()];
    Ring& out = output.port->tx();
    if (out.available() < pieces) {
      ++output.lost;
      continue;
    }
    for (std::uint32_t k = 0; k < pieces; ++k) {
      move_frame(in, in[i + k], out, input.shares_memory(*output.port));
    }
    ++output.frames;
  }
  in.advance(count);
  for (Output& output : outputs) output.port->send();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s INPUT OUTPUT...\n", argv[0]);
    return 2;
  }
  stop_by_signal();
  const auto input = open_or_tell(argv[1]);
  if (input == nullptr) return 1;
  std::vector<Output> outputs;
  for (int i = 2; i < argc; ++i) {
    outputs.push_back({open_or_tell(argv[i], input.get())});
    if (outputs.back().port == nullptr) return 1;
  }
  std::printf("%s is spread over %zu ports\n", argv[1], outputs.size());
  std::fflush(stdout);
  Port* const waited[] = {input.get()};
  while (stopped == 0) {
    Port::wait(waited, 200);
    spread(*input, outputs);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    std::printf("%s: %lu frames, %lu lost\n", argv[2 + i],
                static_cast<unsigned long>(outputs[i].frames),
                static_cast<unsigned long>(outputs[i].lost));
  }
  return 0;
}
