// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/mpi/all_or_none.h"
#include "common/mpi/in_turn.h"
#include "data/index/mixture.h"
#include "launcher/commands.h"
#include "launcher/data_mixture.h"
#include "launcher/ranks.h"

namespace vrwkv::launcher {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> settings;
  bool json = false;
};

/// What one source of a mixture adds up to.
struct Totals {
  std::int64_t tokens = 0, targets = 0, images = 0, bad_samples = 0;
};

Totals totals_of(const data::Mixture& mixture, const data::Mixture::Part& part) {
  Totals totals;
  for (std::int64_t i = 0; i < part.index.size(); ++i) {
    const data::SampleFacts facts = mixture.facts(part.first_record + i);
    totals.bad_samples += facts.is_bad ? 1 : 0;
    if (facts.is_bad) continue;
    totals.tokens += facts.tokens;
    totals.targets += facts.targets;
    totals.images += facts.images;
  }
  return totals;
}

nlohmann::ordered_json report_of(const data::Mixture& mixture, double open_seconds) {
  nlohmann::ordered_json sources = nlohmann::ordered_json::array();
  for (const data::Mixture::Part& part : mixture.parts()) {
    const Totals totals = totals_of(mixture, part);
    sources.push_back({{"file", part.source.file.string()},
                       {"index", part.index.path().string()},
                       {"samples", part.index.size()},
                       {"samples_per_epoch", part.samples_per_epoch},
                       {"bad_samples", totals.bad_samples},
                       {"tokens", totals.tokens},
                       {"targets", totals.targets},
                       {"images", totals.images},
                       {"distinct_images", part.index.distinct_images()}});
  }
  return {{"sources", sources},
          {"samples", mixture.size()},
          {"fingerprint", fmt::format("{:016x}", mixture.fingerprint())},
          {"open_seconds", open_seconds}};
}

void print_lines(const nlohmann::ordered_json& report) {
  for (const auto& source : report["sources"])
    fmt::print("{}: {} samples ({} bad), {} tokens, {} targets, {} images ({} distinct); index {}\n",
               source["file"].get<std::string>(), source["samples"].get<std::int64_t>(),
               source["bad_samples"].get<std::int64_t>(), source["tokens"].get<std::int64_t>(),
               source["targets"].get<std::int64_t>(), source["images"].get<std::int64_t>(),
               source["distinct_images"].get<std::int64_t>(), source["index"].get<std::string>());
}

int index_data(const Options& options, mpi::Communicator& world) {
  const auto config = mpi::all_or_none(world, "configuration", [&] {
    return trainer::read_trainer_config(TomlDocument::load(options.config, options.settings));
  });
  world.set_limit(std::chrono::hours(24));  // one rank makes the index
  const auto start = std::chrono::steady_clock::now();
  const data::Mixture mixture = mpi::in_turn(world, "data", [&] { return open_mixture(config); });
  if (world.rank() != 0) return static_cast<int>(ExitCode::kDone);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto report = report_of(mixture, seconds);
  if (options.json) {
    fmt::print("{}\n", report.dump());
  } else {
    print_lines(report);
  }
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace

void add_data_index(CLI::App& data, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = data.add_subcommand(
      "index",
      "Make the indexes of the data files, where they are missing or stale, and say what is in them.");
  command->add_option("CONFIG", options->config, "Configuration file (TOML)")->required();
  command->add_option("--set", options->settings, "Override one key: table.key=value (repeatable)");
  command->add_flag("--json", options->json, "Print JSON instead of lines");
  command->footer("Example: vrwkv-dist data index configs/quickstart-stage1.toml");
  command->callback([options, &run] {
    run = [options] {
      return run_on_ranks([options](mpi::Communicator& world) { return index_data(*options, world); });
    };
  });
}

}  // namespace vrwkv::launcher
