#include <fmt/format.h>

#include "cli/checks.h"
#include "driver/open.h"

namespace ringway::cli {

std::vector<Check> check_drivers() {
  std::vector<Check> checks;
  for (const driver::Driver& driver : driver::drivers()) {
    Check check{fmt::format("port {}", driver.name), Verdict::kGood,
                fmt::format("{} ({})", driver.doc, driver.form), ""};
    if (const auto works = driver.probe(); !works) {
      // An error says what is wrong, and behind ": " or "; " what to do.
      const std::string& what = works.error().what;
      const std::size_t cut = what.rfind("; ") != what.npos ? what.rfind("; ") : what.rfind(": ");
      check.verdict = Verdict::kMissing;
      check.detail = what.substr(0, cut);
      check.fix = cut == what.npos ? "see there" : what.substr(cut + 2);
    }
    checks.push_back(check);
  }
  return checks;
}

}  // namespace ringway::cli
