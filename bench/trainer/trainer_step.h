// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/mpi/communicator.h"
#include "data/batch.h"
#include "sharding/flat_parameters.h"
#include "sharding/gradient_reducer.h"
#include "sharding/mpi_collectives.h"
#include "sharding/sharded_adamw.h"
#include "trainer/block_schedule.h"
#include "trainer/model/visual_rwkv.h"
#include "trainer/trainable.h"

namespace vrwkv::bench {

// AdamW's and the clipping's, on all sides.
inline constexpr double kLearningRate = 1e-4, kBeta1 = 0.9, kBeta2 = 0.99, kEpsilon = 1e-8, kClip = 1.0;

struct StepResult {
  double loss = 0;
  double grad_norm = 0;
};

/// A random model away from the initialisation, whose blocks change nothing.
model::VisualRwkv make_model(const model::ModelConfig& config);

/// What trainer::Trainer does in one step on one micro-batch and rank, without data, metrics and checkpoints.
class TrainerStep {
 public:
  /// All arguments must outlive it.
  TrainerStep(const model::VisualRwkv& model, const trainer::TrainableParts& parts,
              const data::MicroBatch& batch, const mpi::Communicator& world);

  /// Forward, backward, clipping, AdamW.
  StepResult operator()();
  /// Forward and backward alone.
  /// @param gradient  (padded_numel) fp32, zero: receives the gradients, in the order of parameters().
  /// @return          the loss.
  double gradients(const at::Tensor& gradient) const;
  const sharding::FlatParameters& parameters() const { return parameters_; }

 private:
  const data::MicroBatch& batch_;
  sharding::FlatParameters parameters_;
  sharding::ShardLayout layout_;
  sharding::MpiCollectives collectives_;
  sharding::GradientReducer reducer_;
  sharding::ShardedAdamw optimizer_;
  trainer::BlockSchedule schedule_;
  std::int64_t steps_ = 0;
};

}  // namespace vrwkv::bench
