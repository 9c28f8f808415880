// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/named_tensor.h"

namespace vrwkv::trainer {

/// Which parts of the model learn. The vision encoders never do.
struct TrainableParts {
  bool projector = false;
  bool blocks = false;  ///< all blocks and the final LayerNorm
  bool head = false;
  bool embedding = false;

  /// Stage 1: the projector. Stage 2: all but the embedding and the encoders.
  static TrainableParts of_stage(std::int64_t stage);
  static TrainableParts of_names(const std::vector<std::string>& names);
  std::vector<std::string> names() const;

  /// Whether the parameter of this state_dict name learns.
  bool includes(const std::string& parameter) const;
  /// Those of a model's parameters that learn, in their order, told to record gradients.
  std::vector<NamedTensor> trainable(const std::vector<NamedTensor>& parameters) const;
  /// The others, in their order.
  std::vector<NamedTensor> frozen(const std::vector<NamedTensor>& parameters) const;
};

}  // namespace vrwkv::trainer
