#pragma once

namespace ringway::posix {

/// Another front end in the same library says which descriptors are its own, for is_internal().
void set_own_files(bool (*owns)(int fd));

}  // namespace ringway::posix
