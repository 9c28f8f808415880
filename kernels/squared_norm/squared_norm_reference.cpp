// SPDX-License-Identifier: Apache-2.0
#include "kernels/squared_norm/squared_norm_reference.h"

#include <ATen/ops/zeros.h>

namespace vrwkv::kernels {

at::Tensor squared_norm_blocks_reference(const at::Tensor& flat) {
  const at::Tensor blocks = at::zeros({(flat.numel() + kNormBlock - 1) / kNormBlock}, at::kDouble);
  const auto* const values = flat.const_data_ptr<float>();
  auto* const sums = blocks.data_ptr<double>();
  for (std::int64_t i = 0; i < flat.numel(); ++i)
    sums[i / kNormBlock] += static_cast<double>(values[i]) * values[i];
  return blocks;
}

}  // namespace vrwkv::kernels
