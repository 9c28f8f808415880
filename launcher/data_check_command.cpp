// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/file_system.h"
#include "common/log.h"
#include "common/mpi/all_or_none.h"
#include "common/mpi/in_turn.h"
#include "data/check/check_journal.h"
#include "data/check/check_report.h"
#include "launcher/commands.h"
#include "launcher/data_mixture.h"
#include "launcher/ranks.h"

namespace vrwkv::launcher {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> settings;
  std::string output;
  std::int64_t threads = 1;
  bool json = false;
};

/// Shows how much of its share a rank has done; all have as much. A bar on a terminal, elsewhere (as under
/// mpirun) a line every ten seconds.
class Progress {
 public:
  explicit Progress(std::size_t pieces) : pieces_(pieces), is_terminal_(::isatty(STDERR_FILENO) == 1) {}

  void show(std::size_t done) {
    const std::size_t percent = pieces_ == 0 ? 100 : 100 * done / pieces_;
    if (is_terminal_) {
      fmt::print(stderr, "\r[{:<50}] {:3}%{}", std::string(percent / 2, '='), percent,
                 done == pieces_ ? "\n" : "");
      std::fflush(stderr);
    } else if (Clock::now() - last_line_ >= std::chrono::seconds(10)) {
      last_line_ = Clock::now();
      log::information("check: {} of {} pieces of this rank are done ({} %)", done, pieces_, percent);
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  const std::size_t pieces_;
  const bool is_terminal_;
  Clock::time_point last_line_ = Clock::now();
};

/// The chunks of this rank, each written down when it is done.
void check_share(const data::Mixture& mixture, const data::ImageStores& stores,
                 const data::ImageOptions& images, const data::CheckJournal& journal, int threads,
                 const mpi::Communicator& world) {
  const std::vector<data::CheckChunk> chunks = check_chunks(mixture);
  std::vector<std::int64_t> left, mine;
  for (std::size_t i = 0; i < chunks.size(); ++i)
    if (!journal.done().contains(static_cast<std::int64_t>(i))) left.push_back(static_cast<std::int64_t>(i));
  for (auto i = static_cast<std::size_t>(world.rank()); i < left.size();
       i += static_cast<std::size_t>(world.size()))
    mine.push_back(left[i]);
  if (world.rank() == 0 && left.size() < chunks.size())
    log::information("going on: {} of {} pieces were done before", chunks.size() - left.size(),
                     chunks.size());
  Progress progress(mine.size());
  for (std::size_t i = 0; i < mine.size(); ++i) {
    if (world.rank() == 0) progress.show(i);
    journal.append(world.rank(), mine[i],
                   check_chunk(mixture, stores, chunks[static_cast<std::size_t>(mine[i])], images, threads));
  }
  if (world.rank() == 0) progress.show(mine.size());
}

void print_summary(const data::CheckReport& report, const std::filesystem::path& folder,
                   const data::Mixture& mixture, bool json) {
  if (json) {
    auto summary = nlohmann::ordered_json::parse(report.json(mixture));
    summary.erase("findings");
    summary["report"] = (folder / "report.json").string();
    summary["quarantine"] = (folder / "quarantine.json").string();
    fmt::print("{}\n", summary.dump());
    return;
  }
  fmt::print("{} samples and {} images checked: {} samples cannot be trained on\n", report.samples,
             report.images, report.quarantine.samples().size());
  for (const auto& [name, kind] : report.kinds)
    fmt::print("  {:<22} {:>8} {}\n", name, kind.count, kind.is_bad ? "bad" : "");
  fmt::print("report {}\nquarantine {}\n", (folder / "report.json").string(),
             (folder / "quarantine.json").string());
}

int check_data(const Options& options, mpi::Communicator& world) {
  const auto config = mpi::all_or_none(world, "configuration", [&] {
    return trainer::read_trainer_config(TomlDocument::load(options.config, options.settings));
  });
  world.set_limit(std::chrono::hours(24));  // a rank may be slow to read its share of the images
  const data::Mixture mixture = mpi::in_turn(world, "data", [&] { return open_mixture(config); });
  const data::ImageStores stores = mpi::in_turn(world, "images", [&] {
    data::require_image_folders(config.data.image_folders());
    return data::open_image_stores(config.data.image_folders());
  });
  const std::filesystem::path folder =
      options.output.empty() ? config.run.directory / "check" : std::filesystem::path(options.output);
  const auto open = [&] { return data::CheckJournal(folder, mixture, config.data.images); };
  const data::CheckJournal journal = mpi::all_or_none(world, "journal", open);
  mpi::all_or_none_of_shares(world, "check", [&] {
    check_share(mixture, stores, config.data.images, journal, static_cast<int>(options.threads), world);
  });
  mpi::all_or_none(world, "report", [&] {
    if (world.rank() != 0) return;
    const data::CheckJournal all = open();
    const data::CheckReport report = make_check_report(mixture, all.done());
    write_file_atomically(folder / "report.json", report.json(mixture));
    report.quarantine.write(folder / "quarantine.json");
    all.remove();
    print_summary(report, folder, mixture, options.json);
  });
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace

void add_data_check(CLI::App& data, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = data.add_subcommand("check",
                                          "Look at every sample and decode every image, alone or on the "
                                          "ranks of mpirun or srun: writes a report and a "
                                          "quarantine list. Interrupted, it goes on where it was.");
  command->add_option("CONFIG", options->config, "Configuration file (TOML)")->required();
  command->add_option("--set", options->settings, "Override one key: table.key=value (repeatable)");
  command->add_option("--output", options->output,
                      "Folder of report.json and quarantine.json (default: check/ in [run] directory)");
  command->add_option("--threads", options->threads, "Threads of each rank")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print the summary as JSON");
  command->footer("Example: mpirun -n 2 vrwkv-dist data check configs/quickstart-stage1.toml --threads 4");
  command->callback([options, &run] {
    run = [options] {
      return run_on_ranks([options](mpi::Communicator& world) { return check_data(*options, world); });
    };
  });
}

}  // namespace vrwkv::launcher
