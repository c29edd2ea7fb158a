#include "port/spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>

namespace ringway::port {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array kCountUnits{Unit{"", 1}, Unit{"k", 1024}, Unit{"m", 1048576},
                                 Unit{"g", 1073741824}};
constexpr std::array kFlagUnits{Unit{"", 1}};
constexpr std::array kFractionUnits{Unit{"", 1e6}, Unit{"%", 1e4}};
constexpr std::array kDurationUnits{Unit{"ns", 1}, Unit{"us", 1e3}, Unit{"ms", 1e6},
                                    Unit{"s", 1e9}};
constexpr std::array kRateUnits{Unit{"bit", 1}, Unit{"kbit", 1e3}, Unit{"mbit", 1e6},
                                Unit{"gbit", 1e9}};

std::span<const Unit> units_of(OptionKind kind) {
  switch (kind) {
    case OptionKind::kCount:
      return kCountUnits;
    case OptionKind::kFlag:
      return kFlagUnits;
    case OptionKind::kFraction:
      return kFractionUnits;
    case OptionKind::kDuration:
      return kDurationUnits;
    case OptionKind::kRate:
      return kRateUnits;
    case OptionKind::kText:
      break;
  }
  return {};
}

std::string_view example_of(OptionKind kind) {
  switch (kind) {
    case OptionKind::kCount:
      return "a whole number like 64 or 16k";
    case OptionKind::kFlag:
      return "0, 1, on or off";
    case OptionKind::kFraction:
      return "a fraction like 0.01 or 1%";
    case OptionKind::kDuration:
      return "a time with its unit like 10ms";
    case OptionKind::kRate:
      return "a rate with its unit like 100mbit";
    case OptionKind::kText:
      break;
  }
  return "a text";
}

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
  });
}

std::string names_of(std::span<const SpecOption> table) {
  std::string names;
  for (const SpecOption& option : table) {
    if (!names.empty()) names += ", ";
    names += option.name;
  }
  return names.empty() ? "none" : names;
}

}  // namespace

Result<Spec> Spec::parse(std::string_view text) {
  Spec spec;
  const std::size_t colon = text.find(':');
  spec.driver = std::string(text.substr(0, colon));
  if (!is_word(spec.driver)) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("'{}' is no port; expected DRIVER[:NAME][,KEY=VALUE...] like tap:rw0", text));
  }
  std::string_view rest = colon == text.npos ? std::string_view{} : text.substr(colon + 1);
  for (bool first = true; !rest.empty(); first = false) {
    const std::size_t comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    rest = comma == rest.npos ? std::string_view{} : rest.substr(comma + 1);
    const std::size_t equals = item.find('=');
    if (first && equals == item.npos) {
      spec.name = std::string(item);
      continue;
    }
    const std::string_view key = item.substr(0, equals);
    if (!is_word(key)) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("'{}' in port '{}' is no option; expected KEY=VALUE", item, text));
    }
    spec.options.emplace_back(key, equals == item.npos ? "1" : item.substr(equals + 1));
  }
  return spec;
}

Result<std::int64_t> parse_value(OptionKind kind, std::string_view text) {
  if (kind == OptionKind::kFlag && (text == "on" || text == "off")) return text == "on" ? 1 : 0;
  const auto bad = [&] {
    return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not {}", text, example_of(kind)));
  };
  const std::string copy(text);
  // strtod alone would take blanks, signs, "inf" and hexadecimal.
  if (copy.empty() || std::isdigit(static_cast<unsigned char>(copy[0])) == 0 ||
      copy.find_first_of("xXpP") != copy.npos) {
    return bad();
  }
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  for (const Unit& unit : units_of(kind)) {
    if (unit.name != end) continue;
    const double kept = number * unit.factor;
    const bool whole = kind != OptionKind::kCount || kept == std::floor(kept);
    if (!whole || !(kept < 9e18)) return bad();
    return static_cast<std::int64_t>(std::llround(kept));
  }
  return bad();
}

Result<void> SpecValues::set(std::size_t index, const SpecOption& option,
                             const std::string& value) {
  if (option.kind == OptionKind::kText) {
    texts_[index] = value;
    return {};
  }
  const auto number = parse_value(option.kind, value);
  if (!number) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("option {}: {}", option.name, number.error().what));
  }
  if (*number < option.least || *number > option.most) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("option {}: '{}' is out of range ({})",
                                                         option.name, value, option.doc));
  }
  numbers_[index] = *number;
  return {};
}

Result<SpecValues> SpecValues::read(const Spec& spec, std::span<const SpecOption> table) {
  SpecValues values;
  values.texts_.resize(table.size());
  values.given_.resize(table.size());
  for (const SpecOption& option : table) values.numbers_.push_back(option.fallback);
  for (const auto& [key, value] : spec.options) {
    const auto found = std::find_if(table.begin(), table.end(),
                                    [&key = key](const SpecOption& o) { return o.name == key; });
    if (found == table.end()) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("a {} port has no option '{}'; it has: {}", spec.driver, key,
                              names_of(table)));
    }
    const auto index = static_cast<std::size_t>(found - table.begin());
    if (values.given_[index]) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("option {} is given twice", key));
    }
    values.given_[index] = true;
    if (auto set = values.set(index, *found, value); !set) return tl::unexpected(set.error());
  }
  return values;
}

}  // namespace ringway::port
