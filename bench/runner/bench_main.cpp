// The runner as a program of its own: what `ringway bench` does, without the rest of the command.

#include <string>
#include <vector>

#include "bench/runner/bench.h"

int main(int argc, char** argv) {
  return ringway::bench::bench_main(std::vector<std::string>(argv + 1, argv + argc));
}
