// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/encoder_cost.h"

#include <algorithm>

namespace vrwkv::model {
namespace {

double square(double x) { return x * x; }

/// Of one block: query, key, value and output; two matrices of the MLP.
double linear_flops(double tokens, double width, double mlp_hidden) {
  return 2 * tokens * (4 * square(width) + 2 * width * mlp_hidden);
}

/// Scores, and their product with the values.
double attention_flops(double queries, double keys, double width) { return 4 * queries * keys * width; }

double patch_flops(double patches, double patch_size, double width) {
  return 2 * patches * 3 * square(patch_size) * width;
}

template <class Config>
double vit_flops(const Config& config, std::int64_t extra_tokens) {
  const auto width = static_cast<double>(config.width);
  const double patches = square(static_cast<double>(config.grid()));
  const double tokens = patches + static_cast<double>(extra_tokens);
  const double block = linear_flops(tokens, width, static_cast<double>(config.mlp_hidden)) +
                       attention_flops(tokens, tokens, width);
  return patch_flops(patches, static_cast<double>(config.patch_size), width) +
         static_cast<double>(config.depth - 1) * block;
}

double sam_flops(const SamConfig& config) {
  const auto width = static_cast<double>(config.width);
  const auto side = static_cast<double>(config.patches_per_side());
  const double patches = square(side);
  const std::int64_t window_count =
      (config.patches_per_side() + config.window_size - 1) / std::max<std::int64_t>(1, config.window_size);
  const double padded = square(static_cast<double>(window_count * config.window_size));
  const auto globals = static_cast<double>(config.global_blocks.size());
  const double windowed = static_cast<double>(config.depth) - globals;
  const auto neck = static_cast<double>(config.neck_width);
  return patch_flops(patches, static_cast<double>(config.patch_size), width) +
         static_cast<double>(config.depth) *
             linear_flops(patches, width, static_cast<double>(config.mlp_hidden)) +
         globals * attention_flops(patches, patches, width) +
         windowed * attention_flops(padded, square(static_cast<double>(config.window_size)), width) +
         2 * patches * (width * neck + 9 * square(neck));
}

}  // namespace

double encoder_flops(const VisionConfig& config) {
  double flops = 0;
  if (config.dinov2) flops += vit_flops(*config.dinov2, 1 + config.dinov2->registers);
  if (config.siglip) flops += vit_flops(*config.siglip, 0);
  if (config.sam) flops += sam_flops(*config.sam);
  return flops;
}

}  // namespace vrwkv::model
