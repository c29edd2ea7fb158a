#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <type_traits>

namespace ringway::tcp {

/// For tests: state that otherwise lives in an arena, zero and touched only as it is used.
struct Unmapper {
  std::size_t size = 0;
  void operator()(void* p) const { munmap(p, size); }
};
template <typename T>
using Zeroed = std::unique_ptr<T, Unmapper>;

template <typename T>
Zeroed<T> make_zeroed(std::size_t count = 1) {
  static_assert(std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>);
  const std::size_t size = sizeof(T) * count;
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return Zeroed<T>(p == MAP_FAILED ? nullptr : static_cast<T*>(p), Unmapper{size});
}

}  // namespace ringway::tcp
