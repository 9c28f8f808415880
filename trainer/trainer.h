// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/mpi/communicator.h"
#include "data/loader.h"
#include "kernels/named_tensor.h"
#include "sharding/flat_parameters.h"
#include "sharding/gradient_reducer.h"
#include "sharding/mpi_collectives.h"
#include "sharding/shard_layout.h"
#include "sharding/sharded_adamw.h"
#include "trainer/block_schedule.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/compute.h"
#include "trainer/metrics.h"
#include "trainer/model/visual_rwkv.h"
#include "trainer/progress.h"
#include "trainer/run_directory.h"
#include "trainer/sample_accounts.h"
#include "trainer/trainer_config.h"

namespace vrwkv::trainer {

struct TrainOptions {
  ResumeRequest resume;
  std::optional<std::int64_t>
      max_steps;  ///< end at this step; the schedule's length stays the configuration's
};

struct TrainSummary {
  bool stopped_on_request = false;
  std::int64_t step = 0;             ///< completed steps
  std::optional<double> first_loss;  ///< of step 1
  std::optional<double> last_loss;   ///< of `step`, when this call computed it
  std::optional<std::filesystem::path> checkpoint;
};

/// One run on the ranks of `world`: loads, steps, writes metrics and checkpoints, stops on request.
///
/// Every member is called by all ranks together. Errors that one rank finds while setting up or judging data
/// reach all ranks with the same exit code; an error inside a step is one rank's, and its caller ends the
/// job.
class Trainer {
 public:
  /// All arguments must outlive this object.
  Trainer(const TrainerConfig& config, const TrainOptions& options, const Compute& compute,
          const mpi::Communicator& world);
  TrainSummary run();

 private:
  struct StepTimes {
    double data_wait = 0;
    double communication_wait = 0;
  };
  struct StepCounts {
    std::int64_t samples = 0;
    std::int64_t tokens = 0;
    std::int64_t supervised_tokens = 0;
    std::int64_t penalty_positions = 0;
    std::int64_t bad_samples = 0;
    std::int64_t replacements = 0;
    std::int64_t cut_samples = 0;
  };

  /// What the checkpoint says that the run goes on from, if it does.
  std::optional<checkpoint::TrainingState> load_checkpoint();
  /// Refuses to go on on other data than the run was begun with. Before anything is written.
  void require_same_data() const;
  void prepare_run_directory();
  void open_records();
  StepMetrics step(std::int64_t number);
  /// Names the bad samples of this rank; ends the run where one is to end it.
  void judge(const std::vector<data::MicroBatch>& batches);
  /// Writes down what the step found to be bad and judges it; ends the run when it is too much.
  void account_for(const StepCounts& counts, const std::vector<data::MicroBatch>& batches);
  StepCounts count(const std::vector<data::MicroBatch>& batches) const;
  void update(std::int64_t number, StepMetrics& metrics);
  /// Adds what every rank measured to the row; true when any rank was asked to stop.
  bool agree(StepMetrics& metrics);
  void save(std::int64_t number);

  const TrainerConfig& config_;
  const TrainOptions& options_;
  const Compute compute_;
  const mpi::Communicator& world_;
  RunDirectory directory_;
  std::optional<std::filesystem::path> resumed_from_;
  model::VisualRwkv model_;
  std::unique_ptr<data::Loader> loader_;
  sharding::FlatParameters parameters_;
  sharding::ShardLayout layout_;
  sharding::MpiCollectives collectives_;
  sharding::GradientReducer reducer_;
  sharding::ShardedAdamw optimizer_;
  BlockSchedule schedule_;
  std::vector<NamedTensor> frozen_;     ///< as checkpoints hold them
  std::optional<MetricsFile> metrics_;  ///< rank 0
  std::optional<SampleAccounts> accounts_;
  std::int64_t completed_steps_ = 0;
  std::int64_t position_ = 0;     ///< in the data order: samples taken so far
  std::int64_t bad_samples_ = 0;  ///< replaced or skipped so far, over all ranks
  std::int64_t cut_samples_ = 0;  ///< since the start or the resume, over all ranks
  double checkpoint_stall_ = 0;   ///< in saves since the last row
  StepTimes times_;
};

}  // namespace vrwkv::trainer
