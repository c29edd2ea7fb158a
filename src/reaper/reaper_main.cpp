#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "reaper/reaper.h"
#include "reaper/sandbox.h"

namespace {

int complain(const ringway::base::Error& error) {
  fmt::print(stderr, "ringway-reaper: {}\n", error.what);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  // State that its owner tore may send us round in circles: then this ends it.
  ::alarm(static_cast<unsigned>(ringway::reaper::Reaper::kLongest.ns / 1'000'000'000) + 5);
  const auto arguments = ringway::reaper::parse_arguments(
      std::span<const char* const>(argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)));
  if (!arguments) return complain(arguments.error());
  auto reaper = ringway::reaper::Reaper::open(*arguments);
  if (!reaper) return complain(reaper.error());
  if (auto safe = ringway::reaper::enter_sandbox(); !safe) return complain(safe.error());
  (*reaper)->run();
  std::_Exit(0);
}
