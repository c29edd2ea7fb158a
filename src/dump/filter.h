#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace ringway::dump {

/// A filter in libpcap's language ("tcp port 80 and host 10.0.0.1"), compiled to BPF and run here.
class Filter {
 public:
  /// An empty text takes everything. Errors: kInvalidArgument with libpcap's own words.
  static base::Result<Filter> compile(const std::string& text);
  /// `length` is that of the frame, of which `bytes` may be only the beginning.
  bool takes(std::span<const std::byte> bytes, std::uint32_t length) const;

 private:
  struct Program;
  struct Free {
    void operator()(Program* program) const;
  };
  std::unique_ptr<Program, Free> program_;
};

/// "127.0.0.1:4000-127.0.0.1:80" as a filter for that one connection, both directions.
base::Result<std::string> connection_filter(const std::string& text);

}  // namespace ringway::dump
