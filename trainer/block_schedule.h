// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "data/batch.h"
#include "sharding/flat_parameters.h"
#include "trainer/model/visual_rwkv.h"
#include "trainer/trainer_config.h"

namespace vrwkv::trainer {

/// What one global batch agrees on before its first backward.
struct BatchScale {
  std::int64_t samples = 0;  ///< G: each sample's mean loss counts 1/G
  std::int64_t penalty_positions =
      0;  ///< n of the logit penalty, over the whole global batch; 0 without penalty
};

/// How many positions of a micro-batch the logit penalty covers.
std::int64_t penalty_positions(const data::MicroBatch& batch, L2Wrap l2wrap);

struct MicroBatchLoss {
  double loss = 0;                    ///< this micro-batch's summand of the global loss
  std::vector<double> sample_losses;  ///< (S) mean cross-entropy of each packed sequence, 0 without targets
  at::Tensor hidden;                  ///< (T, C) after the final LayerNorm, when it was asked for
};

/// Runs one micro-batch through the model, forward and backward, block by block. The autograd graph is cut
/// between blocks, so what is kept, recomputed and dropped is written down here in the order in which it
/// happens.
class BlockSchedule {
 public:
  struct Options {
    std::vector<bool> recompute;  ///< per block; empty: none
    /// Of the recurrence's states, kept for the backward, over all blocks.
    std::int64_t kept_states_bytes = std::numeric_limits<std::int64_t>::max();
    L2Wrap l2wrap = L2Wrap::kSupervised;
    bool keep_hidden = false;
  };

  /// @param parameters  the trainable ones, in any order; gradients go to where its entries say.
  BlockSchedule(const model::VisualRwkv& model, const sharding::FlatParameters& parameters, Options options);

  /// @param gradient  (padded_numel) fp32, zero; receives the gradient of this micro-batch's summand of the
  /// loss, and of
  ///                  the penalty. Undefined: forward only.
  MicroBatchLoss run(const data::MicroBatch& batch, const BatchScale& scale,
                     const at::Tensor& gradient) const;

 private:
  /// A part of the model whose backward is one call: its trainable parameters and where their gradients go.
  struct Part {
    std::vector<at::Tensor> parameters;
    std::vector<std::size_t> entries;  ///< indices in FlatParameters::entries()
  };
  struct BlockRecord;

  /// Each block's part of options_.kept_states_bytes: those share it that hold states at the same time.
  std::int64_t kept_states_bytes_of_a_block() const;
  Part part_of(const std::string& prefix, const std::string& or_prefix = "") const;
  /// (1, T, C): token embeddings with the images' projected features in their places.
  at::Tensor embed(const data::MicroBatch& batch, bool with_gradient) const;
  BlockRecord forward_block(std::int64_t layer, const at::Tensor& x, const at::Tensor& v_first,
                            const data::MicroBatch& batch, bool with_gradient) const;
  /// Up through the blocks. @return (1, T, C); `records` are filled where something learns.
  at::Tensor forward_blocks(const at::Tensor& embedded, const data::MicroBatch& batch, bool learns,
                            std::vector<BlockRecord>& records) const;
  /// And down again, to what made `embedded`.
  void backward_blocks(std::vector<BlockRecord>& records, at::Tensor d_x, const at::Tensor& embedded,
                       const data::MicroBatch& batch, const at::Tensor& gradient) const;
  void store(const Part& part, const std::vector<at::Tensor>& gradients, std::size_t first,
             const at::Tensor& flat) const;

  const model::VisualRwkv& model_;
  const sharding::FlatParameters& parameters_;
  Options options_;
  std::int64_t layers_;
  Part inputs_;  ///< what makes the first block's input: projector and embedding
  Part final_norm_;
  Part head_;
  std::vector<Part> blocks_;
  /// Blocks below this one need no backward: nothing under them learns.
  std::int64_t lowest_backward_ = 0;
};

}  // namespace vrwkv::trainer
