#include "driver/open.h"

#include <fmt/format.h>

#include "driver/tap/tap_port.h"
#include "port/spec.h"

namespace ringway::driver {

base::Result<std::unique_ptr<port::Port>> open_port(std::string_view text, mem::FramePool& pool) {
  const auto spec = port::Spec::parse(text);
  if (!spec) return tl::unexpected(spec.error());
  if (spec->driver == "tap") {
    const auto options = TapOptions::parse(*spec);
    if (!options) return tl::unexpected(options.error());
    return TapPort::open(*options, pool);
  }
  return base::fail(base::ErrorCode::kInvalidArgument,
                    fmt::format("'{}' is no driver that a program can use as its port; there is: "
                                "tap (tap:NAME,ip=ADDRESS/LENGTH)",
                                spec->driver));
}

}  // namespace ringway::driver
