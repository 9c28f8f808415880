// SPDX-License-Identifier: Apache-2.0
#include "kernels/squared_norm/squared_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>

#include "common/error.h"
#include "kernels/argument_checks.h"

namespace vrwkv::kernels {
namespace {

/// Interleaved sums, added pairwise at the end. The square of a float is exact in fp64, so the bits depend on
/// this order alone, not on the instructions that the compiler chooses.
double sum_of_squares(const float* values, std::int64_t count) {
  constexpr std::int64_t kSums = 16;
  std::array<double, kSums> sums{};
  const std::int64_t whole = count / kSums * kSums;
  for (std::int64_t i = 0; i < whole; i += kSums) {
    for (std::int64_t lane = 0; lane < kSums; ++lane) {
      const double value = values[i + lane];
      sums[lane] += value * value;
    }
  }
  for (std::int64_t i = whole; i < count; ++i) sums[i - whole] += static_cast<double>(values[i]) * values[i];
  for (std::int64_t half = kSums / 2; half > 0; half /= 2) {
    for (std::int64_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

void blocks_on_cpu(const at::Tensor& flat, at::Tensor& blocks) {
  const float* values = flat.const_data_ptr<float>();
  double* sums = blocks.data_ptr<double>();
  at::parallel_for(0, blocks.numel(), /*grain_size=*/1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kNormBlock;
      sums[block] = sum_of_squares(values + first, std::min(kNormBlock, flat.numel() - first));
    }
  });
}

/// In pieces, so that the fp64 copies stay small beside the gradient.
void blocks_on_device(const at::Tensor& flat, at::Tensor& blocks) {
  constexpr std::int64_t kBlocksAtOnce = 64;
  const std::int64_t whole_blocks = flat.numel() / kNormBlock;
  for (std::int64_t block = 0; block < whole_blocks; block += kBlocksAtOnce) {
    const std::int64_t count = std::min(kBlocksAtOnce, whole_blocks - block);
    const at::Tensor piece = flat.narrow(0, block * kNormBlock, count * kNormBlock).view({count, kNormBlock});
    blocks.narrow(0, block, count).copy_(piece.to(at::kDouble).square_().sum(1));
  }
  const std::int64_t rest = flat.numel() - whole_blocks * kNormBlock;
  if (rest > 0) {
    const at::Tensor piece = flat.narrow(0, whole_blocks * kNormBlock, rest);
    blocks[whole_blocks].copy_(piece.to(at::kDouble).square_().sum());
  }
}

}  // namespace

at::Tensor squared_norm_blocks(const at::Tensor& flat) {
  check_float32("squared_norm_blocks", "flat", flat, flat.device());
  if (flat.dim() != 1 || !flat.is_contiguous()) {
    throw ShapeError("squared_norm_blocks: flat is {} but should be one contiguous axis.",
                     shape_text(flat.sizes()));
  }
  const at::NoGradGuard no_gradients;
  at::Tensor blocks =
      at::empty({(flat.numel() + kNormBlock - 1) / kNormBlock}, flat.options().dtype(at::kDouble));
  if (flat.is_cpu()) {
    blocks_on_cpu(flat, blocks);
  } else {
    blocks_on_device(flat, blocks);
  }
  return blocks;
}

}  // namespace vrwkv::kernels
