// Runs a fuzz target on every file that is named, or lies in a folder that is named, and on seeded
// random mutations of it: the fuzz targets as ordinary tests, with any compiler.

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <system_error>
#include <vector>

#include "base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

// Enough to reach every branch of a parser from a good corpus. What turns whole stacks is given
// less: so much processor time altogether, an equal share for each input.
constexpr int kMutationsPerInput = 2000;
constexpr std::clock_t kTime = std::clock_t{6} * CLOCKS_PER_SEC;
constexpr std::size_t kMaxInput = 65'536;

const Input* running = nullptr;

// Leaves the input that a property failed on, so that it can be looked at and kept.
void save_running(int) {
  constexpr char kName[] = "fuzz-found.bin";
  std::FILE* file = running != nullptr ? std::fopen(kName, "wb") : nullptr;
  if (file == nullptr) return;
  std::fwrite(running->data(), 1, running->size(), file);
  std::fclose(file);
  std::fprintf(stderr, "the input that failed is in %s\n", kName);
}

// A copy of exactly this size, so that the sanitizer sees a read past the end.
void run(const Input& input) {
  const Input copy(input.begin(), input.end());
  running = &copy;
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
  running = nullptr;
}

void mutate_once(Input& input, ringway::base::Random& random) {
  const auto at = [&] { return random.below(static_cast<std::uint32_t>(input.size())); };
  const auto any = [&] { return static_cast<std::uint8_t>(random.next() >> 32); };
  constexpr std::uint8_t kEdges[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
  if (input.empty()) input.push_back(any());
  switch (random.below(6)) {
    case 0:
      input[at()] ^= static_cast<std::uint8_t>(1U << random.below(8));
      break;
    case 1:
      input[at()] = any();
      break;
    case 2:
      input[at()] = kEdges[random.below(5)];
      break;
    case 3:
      input.resize(at() + 1);
      break;
    case 4:
      if (input.size() < kMaxInput) input.insert(input.begin() + at(), any());
      break;
    default:
      input.erase(input.begin() + at());
      break;
  }
}

// The same inputs in the same order in every run: the seed is the content. Returns how many there
// were.
int run_mutations(const Input& input, std::clock_t share) {
  std::uint64_t seed = input.size();
  for (const std::uint8_t b : input) seed = ringway::base::Random::mix(seed ^ b);
  auto random = ringway::base::Random::seeded(seed);
  const std::clock_t end = std::clock() + share;
  int i = 0;
  for (; i < kMutationsPerInput && std::clock() < end; ++i) {
    Input mutant = input;
    const std::uint32_t steps = 1 + random.below(4);
    for (std::uint32_t s = 0; s < steps; ++s) mutate_once(mutant, random);
    run(mutant);
  }
  return i;
}

/// The number of mutations; below zero if the file cannot be read.
int run_file(const std::filesystem::path& path, std::clock_t share) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    return -1;
  }
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const Input input(bytes.begin(), bytes.end());
  run(input);
  return run_mutations(input, share);
}

/// The files that are named or lie in the folders that are named.
std::vector<std::filesystem::path> files_of(std::span<char* const> names) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  std::error_code error;
  for (const char* name : names) {
    if (!fs::is_directory(name, error)) {
      files.emplace_back(name);
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(name, error)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGABRT, save_running);
  const auto files = files_of({argv + 1, static_cast<std::size_t>(argc - 1)});
  int mutations = 0;
  bool ok = !files.empty();  // a corpus that is not there would be a test that cannot fail
  for (const auto& file : files) {
    const int done = run_file(file, kTime / static_cast<std::clock_t>(files.size()));
    ok = ok && done >= 0;
    mutations += done;
  }
  std::printf("%zu inputs, %d mutations\n", files.size(), mutations);
  return ok ? 0 : 1;
}
