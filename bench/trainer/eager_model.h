// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "data/batch.h"
#include "trainer/model/visual_rwkv.h"
#include "trainer/trainable.h"

namespace vrwkv::bench {

/// Samples as PyTorch programs batch them: rows padded at their end to the longest.
struct PaddedBatch {
  at::Tensor token_ids;  ///< (B, T); kImageToken where an image goes, 0 in the padding
  at::Tensor labels;     ///< (B, T); kIgnoreIndex in the padding
  std::map<std::int64_t, std::vector<at::Tensor>> pixels;
};
PaddedBatch pad(const data::MicroBatch& batch);

/// VisualRWKV written as one writes a model in PyTorch: whole-tensor operations, a loop over tokens for the
/// recurrence, logits at every position, one autograd graph. The frozen encoders are such operations
/// already; they are the model's own.
class EagerModel {
 public:
  /// Copies the parameters; those of `parts` learn.
  EagerModel(const model::VisualRwkv& model, const trainer::TrainableParts& parts);

  /// The mean over the samples of each one's mean cross-entropy, with its graph.
  at::Tensor loss(const PaddedBatch& batch) const;
  const std::vector<at::Tensor>& trainable() const { return trainable_; }

 private:
  const at::Tensor& operator[](const std::string& name) const { return parameters_.at(name); }
  at::Tensor norm(const at::Tensor& x, const std::string& name) const;
  at::Tensor inputs(const PaddedBatch& batch) const;
  at::Tensor time_mix(std::int64_t layer, const at::Tensor& x, at::Tensor& v_first) const;
  at::Tensor channel_mix(std::int64_t layer, const at::Tensor& x) const;

  const model::VisualRwkv& model_;
  std::map<std::string, at::Tensor> parameters_;
  std::vector<at::Tensor> trainable_;
};

}  // namespace vrwkv::bench
