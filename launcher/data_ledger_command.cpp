// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/log.h"
#include "data/ledger/quarantine.h"
#include "data/ledger_order.h"
#include "launcher/commands.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/run_directory.h"
#include "trainer/trainer_config.h"

namespace vrwkv::launcher {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> words;  // as they were given: `run`, and perhaps "verify"
  std::vector<std::string> settings;
  std::string run;
  bool verify = false;
  std::int64_t step = 0;
  bool json = false;
};

/// What `read` makes of the header, whose messages do not name the file.
template <class Read>
auto from_header(const data::LedgerReader& reader, const trainer::RunDirectory& run, Read&& read) {
  try {
    return read(reader.header());
  } catch (const DataError& error) {
    throw DataError("{}: {}", run.ledger().string(), error.what());
  }
}

/// The list that the run's configuration names; "" for none, or where another build wrote the configuration.
std::filesystem::path list_of_configuration(const trainer::RunDirectory& run) {
  if (!std::filesystem::exists(run.config())) return {};
  try {
    return trainer::read_trainer_config(TomlDocument::load(run.config())).data.quarantine;
  } catch (const Error& error) {
    log::warning("{} Reasons may be missing.", error.what());
    return {};
  }
}

/// The bad samples with a name and a reason: those that the run found, and those that it was told of.
data::Quarantine known_bad_samples(const trainer::RunDirectory& run, std::uint64_t fingerprint) {
  data::Quarantine known(fingerprint);
  for (const auto& file : {run.quarantine(), list_of_configuration(run)}) {
    if (file.empty() || !std::filesystem::exists(file)) continue;
    try {
      const auto list = data::Quarantine::read(file);
      if (!list.is_of(fingerprint)) continue;  // its numbers mean other samples
      for (const auto& [record, sample] : list.samples()) known.add(sample);
    } catch (const DataError& error) {
      log::warning("{} Reasons may be missing.", error.what());
    }
  }
  return known;
}

/// What became of a bad sample, with its name and the reason where they are known.
Json replacement_in(const data::LedgerEntry& entry, const data::Replacement& one,
                    const data::Quarantine& quarantine) {
  Json out = {{"step", entry.step}, {"place", one.place}, {"record", one.record}};
  if (one.substitute != data::Replacement::kNothing) out["substitute"] = one.substitute;
  const auto found = quarantine.samples().find(one.record);
  if (found == quarantine.samples().end()) return out;
  out["id"] = found->second.id;
  out["reason"] = found->second.reason;
  return out;
}

void print_replacement(const Json& one) {
  const std::string outcome = one.contains("substitute")
                                  ? fmt::format("replaced by {}", one["substitute"].get<std::int64_t>())
                                  : "skipped";
  fmt::print("step {}: sample {} {}{}\n", one["step"].get<std::int64_t>(), one["record"].get<std::int64_t>(),
             outcome, one.contains("reason") ? ": " + one["reason"].get<std::string>() : "");
}

Json replacements_in(const data::LedgerEntry& entry, const data::Quarantine& quarantine) {
  Json out = Json::array();
  for (const auto& one : entry.replacements) out.push_back(replacement_in(entry, one, quarantine));
  return out;
}

/// Names of samples may hold any bytes.
void print_json(const Json& value) {
  fmt::print("{}\n", value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json micro_batches_in(const data::LedgerEntry& entry) {
  Json out = Json::array();
  for (const auto& records : entry.micro_batches) out.push_back(records);
  return out;
}

int show_step(data::LedgerReader& reader, const trainer::RunDirectory& run, const Options& options) {
  std::optional<data::LedgerEntry> entry;
  while ((entry = reader.next()) && entry->step != options.step) continue;
  if (!entry) throw ConfigError("{}: the ledger has no step {}.", options.run, options.step);
  const Json replacements =
      replacements_in(*entry, known_bad_samples(run, from_header(reader, run, data::ledger_fingerprint)));
  if (options.json) {
    print_json({{"step", entry->step},
                {"position", entry->position},
                {"places", entry->places},
                {"micro_batches", micro_batches_in(*entry)},
                {"replacements", replacements}});
    return static_cast<int>(ExitCode::kDone);
  }
  fmt::print("step {}: positions {} to {} of the data order\n", entry->step, entry->position,
             entry->position + entry->places - 1);
  for (std::size_t i = 0; i < entry->micro_batches.size(); ++i)
    fmt::print("micro-batch {}: samples {}\n", i, fmt::join(entry->micro_batches[i], ", "));
  for (const Json& one : replacements) print_replacement(one);
  return static_cast<int>(ExitCode::kDone);
}

int show(data::LedgerReader& reader, const trainer::RunDirectory& run, const Options& options) {
  const data::Quarantine quarantine =
      known_bad_samples(run, from_header(reader, run, data::ledger_fingerprint));
  Json replacements = Json::array();
  std::int64_t steps = 0, taken = 0;
  while (const auto entry = reader.next()) {
    ++steps;
    for (const auto& records : entry->micro_batches) taken += std::ssize(records);
    for (Json& one : replacements_in(*entry, quarantine)) replacements.push_back(std::move(one));
  }
  if (options.json) {
    print_json({{"order", Json::parse(reader.header())},
                {"steps", steps},
                {"samples", taken},
                {"torn_bytes", reader.torn_bytes()},
                {"replacements", replacements}});
    return static_cast<int>(ExitCode::kDone);
  }
  for (const Json& one : replacements) print_replacement(one);
  fmt::print("{}: {} steps took {} samples; {} places had bad ones\n", run.ledger().string(), steps, taken,
             replacements.size());
  return static_cast<int>(ExitCode::kDone);
}

data::LedgerMark newest_checkpoint(const trainer::RunDirectory& run) {
  const auto newest = checkpoint::newest(run.checkpoints());
  if (!newest) return {};
  const checkpoint::TrainingState state = checkpoint::describe(*newest).state;
  return {state.step, state.data_position};
}

Json epochs_in(const data::LedgerProof& proof) {
  Json out = Json::array();
  for (const auto& epoch : proof.epochs)
    out.push_back({{"epoch", epoch.epoch}, {"did_not_enter", epoch.absent}, {"entered_again", epoch.again}});
  return out;
}

/// The first few of many.
std::string records_in(const std::vector<std::int64_t>& records) {
  constexpr std::size_t kShown = 20;
  const auto end = records.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, records.size()));
  return fmt::format("{}{}", fmt::join(records.begin(), end, ", "), end == records.end() ? "" : ", ...");
}

int verify(const trainer::RunDirectory& run, const Options& options) {
  // Before the ledger: while the run goes on, entries come before their checkpoint.
  const data::LedgerMark checkpoint = newest_checkpoint(run);
  data::LedgerReader reader(run.ledger());
  const data::LedgerOrder order = from_header(reader, run, data::ledger_order);
  const data::LedgerProof proof = data::verify_ledger(reader, order, checkpoint);
  const ExitCode code = proof.proven() ? ExitCode::kDone : ExitCode::kFailed;
  if (options.json) {
    print_json({{"proven", proof.proven()},
                {"steps", proof.steps},
                {"checkpoint_step", checkpoint.step},
                {"places", proof.places},
                {"samples", order.records},
                {"left_out_by_order", order.left_out},
                {"whole_epochs", proof.whole_passes},
                {"replaced", proof.replaced},
                {"skipped", proof.skipped},
                {"epochs", epochs_in(proof)},
                {"torn_bytes", proof.torn_bytes},
                {"all_problems", proof.all_problems},
                {"problems", proof.problems}});
    return static_cast<int>(code);
  }
  for (const std::string& problem : proof.problems) fmt::print("{}\n", problem);
  if (const auto more = proof.all_problems - static_cast<std::int64_t>(proof.problems.size()); more > 0)
    fmt::print("and {} more\n", more);
  for (const auto& epoch : proof.epochs)
    fmt::print("epoch {}: {} samples did not enter ({}); {} entered again, in their place ({})\n",
               epoch.epoch, epoch.absent.size(), records_in(epoch.absent), epoch.again.size(),
               records_in(epoch.again));
  if (proof.torn_bytes > 0)
    fmt::print("the last entry is torn ({} bytes): its step was not completed\n", proof.torn_bytes);
  const std::string left_out =
      order.left_out == 0
          ? ""
          : fmt::format(" (at least {} samples have no place in an epoch of this order)", order.left_out);
  fmt::print(
      "{}: {} steps took {} places of the order of {} samples, {} epochs of them whole{}; {} replaced, {} "
      "skipped\n",
      proof.proven() ? "proven" : "not proven", proof.steps, proof.places, order.records, proof.whole_passes,
      left_out, proof.replaced, proof.skipped);
  return static_cast<int>(code);
}

/// The run directory that is meant: the one named, or that of the configuration named.
std::string run_of(const std::string& word, const std::vector<std::string>& settings) {
  if (std::filesystem::is_regular_file(word))
    return trainer::read_trainer_config(TomlDocument::load(word, settings)).run.directory.string();
  if (!settings.empty())
    throw ConfigError("data ledger: --set {} with a run directory. Name a configuration, or leave it out.",
                      settings.front());
  return word;
}

int ledger(Options options) {
  const auto action = std::find(options.words.begin(), options.words.end(), "verify");
  options.verify = action != options.words.end();
  if (options.verify) options.words.erase(action);
  if (options.words.size() != 1)
    throw ConfigError(
        "data ledger: names {} runs. Name one run directory or configuration, and verify or nothing.",
        options.words.size());
  if (options.verify && options.step > 0)
    throw ConfigError(
        "data ledger: --step {} with verify (all steps are verified together). Leave out one of the two.",
        options.step);
  options.run = run_of(options.words.front(), options.settings);
  const trainer::RunDirectory run(options.run);
  if (!std::filesystem::exists(run.ledger()))
    throw ConfigError("{}: there is no ledger.bin. Name the directory of a run.", options.run);
  if (options.verify) return verify(run, options);
  data::LedgerReader reader(run.ledger());
  return options.step > 0 ? show_step(reader, run, options) : show(reader, run, options);
}

}  // namespace

void add_data_ledger(CLI::App& data, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = data.add_subcommand("ledger",
                                          "Which samples a run trained on, and which it had to replace; "
                                          "proves that all others of its data order entered.");
  command
      ->add_option("RUN", options->words,
                   "Run directory, or the configuration that names it; and `verify`: compute the order again "
                   "and prove that each place of it was taken by its sample, or by which other. A sample has "
                   "one place an epoch, unless its source has a weight or order = \"visualrwkv\" leaves it "
                   "out")
      ->required()
      ->expected(1, 2);
  command->add_option("--step", options->step, "Which samples entered which micro-batch of this step")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  command->add_option("--set", options->settings,
                      "With a configuration, override one key: table.key=value (repeatable)");
  command->add_flag("--json", options->json, "Print JSON");
  command->footer("Example: vrwkv-dist data ledger runs/quickstart-stage2 verify\nExit code 1: not proven.");
  command->callback([options, &run] { run = [options] { return ledger(*options); }; });
}

}  // namespace vrwkv::launcher
