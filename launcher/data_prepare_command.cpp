// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/error.h"
#include "data/prepare/prepare_file.h"
#include "launcher/commands.h"
#include "trainer/trainer_config.h"

namespace vrwkv::launcher {
namespace {

using Json = nlohmann::ordered_json;
using Kind = data::PrepareFinding::Kind;

struct Options {
  std::string input, output;
  std::vector<std::string> settings;
  data::PrepareOptions prepare;
  std::uint32_t seed = 0;
  bool json = false;
};

/// More would scroll the summary away; --json has all.
constexpr std::size_t kMostLines = 20;

std::filesystem::path input_of(const Options& options) {
  if (std::filesystem::path(options.input).extension() != ".toml") return options.input;
  const auto config = trainer::read_trainer_config(TomlDocument::load(options.input, options.settings));
  if (config.data.sources.size() != 1)
    throw ConfigError("{}: names {} data files. Name the one to prepare.", options.input,
                      config.data.sources.size());
  return config.data.sources.front().file;
}

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::kDroppedRounds:
      return "dropped_rounds";
    case Kind::kDroppedSample:
      return "dropped_sample";
    case Kind::kOdd:
      return "odd";
  }
  return "";
}

void print_json(const data::PrepareSummary& summary, const Options& options) {
  Json findings = Json::array();
  for (const data::PrepareFinding& finding : summary.findings)
    findings.push_back({{"kind", name_of(finding.kind)},
                        {"record", finding.record},
                        {"line", finding.line},
                        {"id", finding.id},
                        {"message", finding.message}});
  const Json report = {{"output", options.output},
                       {"samples_in", summary.samples_in},
                       {"samples_out", summary.samples_out},
                       {"split_samples", summary.split_samples},
                       {"dropped_rounds", summary.dropped_rounds},
                       {"dropped_samples", summary.dropped_samples},
                       {"odd_samples", summary.odd_samples},
                       {"findings", findings}};
  fmt::print("{}\n", report.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void print_lines(const data::PrepareSummary& summary, const std::filesystem::path& input,
                 const Options& options) {
  for (std::size_t i = 0; i < std::min(kMostLines, summary.findings.size()); ++i) {
    const data::PrepareFinding& finding = summary.findings[i];
    fmt::print("{}:{}: sample '{}': {}\n", input.string(), finding.line, finding.id, finding.message);
  }
  if (summary.findings.size() > kMostLines)
    fmt::print("and {} more (--json names all)\n", summary.findings.size() - kMostLines);
  fmt::print("{}: {} samples became {}: {} were split, {} left out, {} odd ones passed on\n", options.output,
             summary.samples_in, summary.samples_out, summary.split_samples, summary.dropped_samples,
             summary.odd_samples);
  fmt::print("questions without answer that were left out: {}\n", summary.dropped_rounds);
}

int prepare_data(const Options& options) {
  data::require_other_output(options.input, options.output);  // which may be a configuration
  const std::filesystem::path input = input_of(options);
  const data::PrepareSummary summary = data::prepare_file(input, options.output, options.prepare);
  if (options.json) {
    print_json(summary, options);
  } else {
    print_lines(summary, input, options);
  }
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace

void add_data_prepare(CLI::App& data, Run& run) {
  auto options = std::make_shared<Options>();
  data::SplitRules& rules = options->prepare.rules;
  CLI::App* command = data.add_subcommand(
      "prepare",
      "Write a data file without empty answers, whose long conversations are split into samples of a few "
      "questions, as the original's reformat_data.py does, without its defects.");
  command
      ->add_option("INPUT", options->input,
                   "Data file (JSON), or the configuration (TOML) whose [data] file is meant")
      ->required();
  command->add_option("OUTPUT", options->output, "Data file to write")->required();
  command->add_option("--max-rounds", rules.most_rounds, "Questions of one sample at most")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 20))
      ->capture_default_str();
  command
      ->add_option("--carry", rules.carried,
                   "Sentence of the first question that holds for all, for the first question of each part "
                   "(repeatable; instead of those of LLaVA-1.5's mixture)")
      ->check(CLI::Validator([](const std::string& text) { return text.empty() ? "it is empty" : ""; }, ""));
  CLI::Option* shuffle =
      command
          ->add_option("--shuffle", options->seed,
                       "Shuffle as Python's random module does with this seed; the original's is 22")
          ->check(CLI::Range(std::int64_t{0}, std::int64_t{std::numeric_limits<std::uint32_t>::max()}));
  command->add_option("--set", options->settings,
                      "With a configuration, override one key: table.key=value (repeatable)");
  command->add_flag("--json", options->json, "Print the summary as JSON, with every sample that is named");
  command->footer(
      "Example: vrwkv-dist data prepare llava_v1_5_mix665k.json mix665k_5rounds.json --max-rounds 5 "
      "--shuffle "
      "22");
  command->callback([options, shuffle, &run] {
    if (*shuffle) options->prepare.shuffle_seed = options->seed;
    run = [options] { return prepare_data(*options); };
  });
}

}  // namespace vrwkv::launcher
