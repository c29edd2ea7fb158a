// Runs a fuzz target on every file that is named, or lies in a folder that is named, and on seeded
// random mutations of it: the fuzz targets as ordinary tests, with any compiler.

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include "base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

// Enough to reach every branch of a parser from a good corpus; a second at most in a sanitizer
// build.
constexpr int kMutationsPerInput = 2000;
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

// The same inputs in every run: the seed is the content.
void run_mutations(const Input& input) {
  std::uint64_t seed = input.size();
  for (const std::uint8_t b : input) seed = ringway::base::Random::mix(seed ^ b);
  auto random = ringway::base::Random::seeded(seed);
  for (int i = 0; i < kMutationsPerInput; ++i) {
    Input mutant = input;
    const std::uint32_t steps = 1 + random.below(4);
    for (std::uint32_t s = 0; s < steps; ++s) mutate_once(mutant, random);
    run(mutant);
  }
}

bool run_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    return false;
  }
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const Input input(bytes.begin(), bytes.end());
  run(input);
  run_mutations(input);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  std::signal(SIGABRT, save_running);
  std::size_t count = 0;
  bool ok = true;
  for (int i = 1; i < argc; ++i) {
    std::error_code error;
    if (fs::is_directory(argv[i], error)) {
      for (const auto& entry : fs::recursive_directory_iterator(argv[i], error)) {
        if (entry.is_regular_file()) {
          ok = run_file(entry.path()) && ok;
          ++count;
        }
      }
    } else {
      ok = run_file(argv[i]) && ok;
      ++count;
    }
  }
  std::printf("%zu inputs, each with %d mutations\n", count, kMutationsPerInput);
  // A corpus that is not there would be a test that cannot fail.
  return ok && count > 0 ? 0 : 1;
}
