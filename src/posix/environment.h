#pragma once

#include <string>
#include <vector>

namespace ringway::posix {

/// Notes what of the environment loads the shim and names its network, before the program can
/// change it.
void remember_environment();

/// The environment of a new program image: as the program gave it, and with what the shim needs
/// there. Programs that clear the environment of their children do not mean to change networks.
class ImageEnvironment {
 public:
  static constexpr const char* kHandover = "RINGWAY_HANDOVER";

  /// `given` may be nullptr. `handover`: the descriptor that the new image is to take up; -1: none.
  ImageEnvironment(char* const* given, int handover);
  char* const* get() { return variables_.data(); }

 private:
  std::string preload_;
  std::string handover_;
  std::vector<char*> variables_;
};

/// False when the loader would not put the shim into this program: a static program, another
/// machine's, one that raises its privileges (ld.so(8), secure-execution mode). Follows `#!`.
bool loads_shim(const char* path);

}  // namespace ringway::posix
