#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/option_table.h"
#include "cli/output.h"

namespace ringway::cli {

namespace {

std::string range_of(const OptionEntry& option) {
  if (option.least == option.most) return "";
  return fmt::format("{} to {}", option.least, option.most);
}

nlohmann::json options_json() {
  auto all = nlohmann::json::array();
  for (const auto& option : kOptions) {
    all.push_back({{"option", option.name.empty() ? "" : fmt::format("--{}", option.name)},
                   {"environment", option.environment},
                   {"value", option.value},
                   {"unit", option.unit},
                   {"default", option.fallback},
                   {"range", range_of(option)},
                   {"doc", option.doc}});
  }
  return all;
}

std::string options_table() {
  std::vector<std::vector<std::string>> rows{{"RUN", "ENVIRONMENT", "DEFAULT", "RANGE", "WHAT"}};
  for (const auto& option : kOptions) {
    rows.push_back({option.name.empty() ? "" : fmt::format("--{} {}", option.name, option.value),
                    std::string(option.environment), std::string(option.fallback), range_of(option),
                    std::string(option.doc)});
  }
  return format_table(rows);
}

}  // namespace

std::string options_markdown() {
  std::string text =
      "# Options\n\n"
      "Made by `ringway options --markdown > docs/options.md` from `src/cli/option_table.h`.\n\n"
      "Options of `ringway run` stand before `--`; each sets an environment variable for the "
      "program,\n"
      "which can be set by hand as well. The others are environment only.\n\n"
      "| `ringway run` | environment | unit | default | range | what |\n"
      "|---|---|---|---|---|---|\n";
  for (const auto& option : kOptions) {
    const auto flag =
        option.name.empty() ? std::string() : fmt::format("`--{} {}`", option.name, option.value);
    text += fmt::format("| {} | `{}` | {} | {} | {} | {} |\n", flag, option.environment,
                        option.unit, option.fallback, range_of(option), option.doc);
  }
  return text;
}

void add_options(CLI::App& app, Action& action) {
  auto* options_app =
      app.add_subcommand("options", "what can be set, by option or environment, with its default");
  struct Form {
    bool json = false;
    bool markdown = false;
  };
  auto form = std::make_shared<Form>();
  auto* json = options_app->add_flag("--json", form->json, "print JSON");
  options_app->add_flag("--markdown", form->markdown, "print docs/options.md")->excludes(json);
  options_app->callback([&action, form] {
    action = [form] {
      fmt::print("{}", form->json       ? options_json().dump(2) + "\n"
                       : form->markdown ? options_markdown()
                                        : options_table());
      return 0;
    };
  });
}

}  // namespace ringway::cli
