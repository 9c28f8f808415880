// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace vrwkv::model {

/// What one block remembers of S sequences; the shifts are of the compute type, `wkv` is fp32.
struct LayerState {
  at::Tensor att_shift;  ///< (1, S, C): the time mix's last (normalised) input
  at::Tensor wkv;        ///< (1, S, H, N, N): row = value channel, column = key channel
  at::Tensor ffn_shift;  ///< (1, S, C): the channel mix's last (normalised) input
};

/// One per block.
using RwkvState = std::vector<LayerState>;

}  // namespace vrwkv::model
