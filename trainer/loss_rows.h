// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "data/batch.h"
#include "trainer/trainer_config.h"

namespace vrwkv::trainer {

/// The positions of a micro-batch at which head and loss are computed. Position t predicts label t + 1,
/// within its own sequence; a sample's cross-entropies count 1 / (G max(1, targets)) each (VisualRWKV v7.00,
/// forward of src/model.py).
struct LossRows {
  at::Tensor positions;                 ///< (P) int64, ascending
  at::Tensor targets;                   ///< (P) int64; kIgnoreIndex where only the logit penalty counts
  at::Tensor weights;                   ///< (P) fp32
  std::vector<std::int64_t> sequences;  ///< (P) which packed sequence a row belongs to
  std::vector<std::int64_t> sequence_targets;

  /// Adds `losses` (P) up, in row order, to each sequence's mean and to the micro-batch's summand of the
  /// global loss.
  void add_up(const at::Tensor& losses, std::int64_t global_samples, std::vector<double>& sample_losses,
              double& loss) const;
};

LossRows select_loss_rows(const data::MicroBatch& batch, L2Wrap l2wrap, std::int64_t global_samples);

}  // namespace vrwkv::trainer
