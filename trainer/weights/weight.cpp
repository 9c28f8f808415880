// SPDX-License-Identifier: Apache-2.0
#include "trainer/weights/weight.h"

#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <numeric>

namespace vrwkv::weights {

std::int64_t Weight::numel() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

at::Tensor resample_positions(const at::Tensor& positions, std::int64_t side) {
  const at::Tensor stored = positions.to(at::kFloat);
  const auto old_side = std::lround(std::sqrt(static_cast<double>(stored.size(1))));
  if (old_side == side) return stored;
  const at::Tensor map = stored.unflatten(1, {old_side, old_side}).permute({0, 3, 1, 2}).contiguous();
  return at::_upsample_bicubic2d_aa(map, {side, side}, /*align_corners=*/false)
      .permute({0, 2, 3, 1})
      .flatten(1, 2);
}

}  // namespace vrwkv::weights
