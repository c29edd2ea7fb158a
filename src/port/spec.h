#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace ringway::port {

/// What a port is made of, as a person writes it: `driver[:name][,key=value...]`, as in
/// "loop:loss=0.01,seed=7" or "tap:rw0,ip=10.0.0.1/24". A first item without '=' is the name; a key
/// without '=' is a flag with value "1".
struct Spec {
  std::string driver;
  std::string name;
  std::vector<std::pair<std::string, std::string>> options;

  /// Checks the form only; fails with one line that says what is wrong and what is expected.
  static base::Result<Spec> parse(std::string_view text);
};

/// How the value of an option is written, and the unit in which it is kept.
enum class OptionKind {
  kCount,     ///< a number, "k", "m", "g" behind it mean 2^10, 2^20, 2^30
  kFlag,      ///< 0, 1, on, off
  kFraction,  ///< 0 to 1, or with "%"; kept in parts per million
  kDuration,  ///< with ns, us, ms or s behind it; kept in nanoseconds
  kRate,      ///< with bit, kbit, mbit or gbit behind it; kept in bits per second
  kText,      ///< anything
};

/// One option that a driver knows. `fallback`, `least` and `most` are in the kept unit; a text is
/// empty by default.
struct SpecOption {
  std::string_view name;
  OptionKind kind;
  std::int64_t fallback;
  std::int64_t least;
  std::int64_t most;
  std::string_view doc;
};

/// The values of a table of options, by their place in the table.
class SpecValues {
 public:
  /// Reads the options of `spec` against `table`. An unknown key, a key given twice and a value out
  /// of range fail with one line that names what is expected.
  static base::Result<SpecValues> read(const Spec& spec, std::span<const SpecOption> table);

  std::int64_t number(std::size_t index) const { return numbers_[index]; }
  const std::string& text(std::size_t index) const { return texts_[index]; }
  bool given(std::size_t index) const { return given_[index]; }

 private:
  base::Result<void> set(std::size_t index, const SpecOption& option, const std::string& value);

  std::vector<std::int64_t> numbers_;
  std::vector<std::string> texts_;
  std::vector<bool> given_;
};

/// Reads one value as `kind`, in its kept unit; kText is not a number and fails.
base::Result<std::int64_t> parse_value(OptionKind kind, std::string_view text);

}  // namespace ringway::port
