#pragma once

#include <spdlog/logger.h>

// What spdlog's templates need of fmt is compiled once, in base/format.cpp.
FMT_BEGIN_NAMESPACE
namespace detail {
extern template void vformat_to(buffer<char>&, string_view,
                                basic_format_args<FMT_BUFFER_CONTEXT(char)>, locale_ref);
}  // namespace detail
FMT_END_NAMESPACE
