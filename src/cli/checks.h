#pragma once

#include <string>
#include <vector>

namespace ringway::cli {

enum class Verdict {
  kGood,
  kLimited,  // works, with a loss that `detail` names
  kMissing,  // an optional feature does not work
  kBroken,   // Ringway does not work without it
};

/// One finding of `ringway doctor`. `fix`: the exact thing to do; empty if there is nothing to.
struct Check {
  std::string name;
  Verdict verdict = Verdict::kGood;
  std::string detail;
  std::string fix;
};

/// Looks at what Ringway needs and can use on this machine. Takes about a fifth of a second (steal
/// is a rate).
std::vector<Check> check_machine();
/// Can devices be shared with the kernel by AF_XDP, and does the daemon for that run?
Check check_xdp();
/// Whether each kind of port can work here.
std::vector<Check> check_drivers();
/// The same for Ringway's own parts: daemon, shim, runtime directory.
std::vector<Check> check_installation();

}  // namespace ringway::cli
