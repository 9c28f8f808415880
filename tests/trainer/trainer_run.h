// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "common/file_system.h"
#include "tests/trainer/checkpoint/shared_folder.h"
#include "tests/trainer/tiny_model.h"
#include "tests/trainer/tiny_run.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/trainer.h"

namespace vrwkv::test {

/// The rows of a run's metrics.jsonl.
inline std::vector<nlohmann::ordered_json> metrics_of(const std::filesystem::path& run) {
  std::istringstream text(read_file(run / "metrics.jsonl"));
  std::vector<nlohmann::ordered_json> rows;
  for (std::string line; std::getline(text, line);) rows.push_back(nlohmann::ordered_json::parse(line));
  return rows;
}

/// The same without what a clock or the machine decides; numbers as text, so that each bit counts.
inline std::vector<std::string> numbers_of(const std::filesystem::path& run) {
  std::vector<std::string> rows;
  for (auto& row : metrics_of(run)) {
    for (const char* key : {"step_seconds", "data_wait_seconds", "communication_wait_seconds",
                            "checkpoint_stall_seconds", "memory_bytes"})
      row.erase(key);
    rows.push_back(row.dump());
  }
  return rows;
}

/// Ends after this step.
inline trainer::TrainOptions until(std::int64_t step) {
  trainer::TrainOptions options;
  options.max_steps = step;
  return options;
}

/// `--resume path`.
inline trainer::TrainOptions resuming(const std::filesystem::path& path) {
  trainer::TrainOptions options;
  options.resume = trainer::ResumeRequest::parse(path.string());
  return options;
}

/// All ranks share a folder with the tiny data set; runs go into it, by the whole world or by rank 0 alone.
class TrainerRunTest : public ::testing::Test {
 protected:
  TrainerRunTest() {
    at::set_num_threads(1);
    if (world_.rank() == 0) write_tiny_data(folder_.path());
    world_.barrier("data set");
  }

  std::filesystem::path run_folder(const std::string& name) const { return folder_.path() / name; }

  trainer::TrainSummary train(const std::string& run, std::vector<std::string> settings = {},
                              const trainer::TrainOptions& options = {},
                              const trainer::Compute& compute = {}) const {
    return train_on(world_, run, std::move(settings), options, compute);
  }
  /// Collective; the other ranks wait.
  void train_alone(const std::string& run, std::vector<std::string> settings = {},
                   const trainer::TrainOptions& options = {}, const trainer::Compute& compute = {}) const {
    const auto alone = world_.split(world_.rank() == 0 ? 0 : 1, world_.rank());
    if (world_.rank() == 0) train_on(alone, run, std::move(settings), options, compute);
    world_.barrier("run of one rank");
  }

  /// Metrics and parameters have the same bits.
  void expect_equal_runs(const std::string& one, const std::string& other) const {
    if (world_.rank() == 0) {
      EXPECT_EQ(numbers_of(run_folder(one)), numbers_of(run_folder(other)));
      const auto parameters = checkpoint::load_parameters(checkpoint::resolve(run_folder(one)));
      const auto others = checkpoint::load_parameters(checkpoint::resolve(run_folder(other)));
      EXPECT_EQ(parameters.size(), others.size());
      for (const auto& [name, tensor] : parameters) EXPECT_TRUE(same_bits(tensor, others.at(name))) << name;
    }
    world_.barrier("comparison");
  }

  const mpi::Communicator world_ = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const SharedFolder folder_{world_};

 private:
  trainer::TrainSummary train_on(const mpi::Communicator& ranks, const std::string& run,
                                 std::vector<std::string> settings, const trainer::TrainOptions& options,
                                 const trainer::Compute& compute) const {
    settings.push_back("run.directory=" + run);
    const trainer::TrainerConfig config = tiny_run_config(folder_.path(), settings);
    return trainer::Trainer(config, options, compute, ranks).run();
  }
};

}  // namespace vrwkv::test
