// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "data/batch.h"
#include "trainer/model/visual_rwkv.h"

/// A model small enough to differentiate whole, and samples for it.
namespace vrwkv::test {

inline constexpr std::int64_t kTinyVocabulary = 300;
inline constexpr std::int64_t kTokensPerImage = 4;

/// Three blocks and two encoders, which want images of 8 and of 16 pixels.
inline model::ModelConfig tiny_config() {
  model::ModelConfig config;
  config.language_model = {.n_layer = 3, .n_embd = 64, .head_size = 32, .vocabulary_size = kTinyVocabulary};
  config.vision.dinov2 = {
      .image_size = 8, .patch_size = 2, .width = 8, .depth = 2, .heads = 2, .mlp_hidden = 16, .registers = 1};
  config.vision.siglip = {
      .image_size = 16, .patch_size = 4, .width = 8, .depth = 2, .heads = 2, .mlp_hidden = 16};
  config.vision.tokens_per_image = kTokensPerImage;
  return config;
}

inline at::Generator generator(std::uint64_t seed) { return at::detail::createCPUGenerator(seed); }

/// The initialisation makes blocks that change nothing (their output matrices are zero); here every parameter
/// is moved away from it, so that each has a gradient.
inline model::VisualRwkv tiny_model(std::uint64_t seed, const model::ModelConfig& config = tiny_config()) {
  model::VisualRwkv model(config, seed);
  at::Generator random = generator(seed);
  for (const auto& parameter : model.parameters())
    at::Tensor(parameter.tensor).add_(at::randn(parameter.tensor.sizes(), random) * 0.1);
  return model;
}

/// `images` images, then `question` tokens, then `answer` tokens that are labels; all random.
inline data::Sample random_sample(std::int64_t images, std::int64_t question, std::int64_t answer,
                                  std::uint64_t seed) {
  at::Generator random = generator(seed);
  data::Sample sample;
  sample.id = "sample-" + std::to_string(seed);
  data::Encoded& tokens = sample.tokens;
  for (std::int64_t image = 0; image < images; ++image) {
    tokens.image_starts.push_back(static_cast<std::int64_t>(tokens.token_ids.size()));
    tokens.token_ids.insert(tokens.token_ids.end(), kTokensPerImage, data::kImageToken);
    for (const std::int64_t size : {8, 16})
      sample.pixels[size].push_back(at::randint(0, 256, {3, size, size}, random, at::kByte));
  }
  tokens.labels.assign(tokens.token_ids.size(), data::kIgnoreIndex);
  const at::Tensor text = at::randint(1, kTinyVocabulary, {question + answer}, random, at::kLong);
  for (std::int64_t i = 0; i < question + answer; ++i) {
    tokens.token_ids.push_back(text[i].item<std::int64_t>());
    tokens.labels.push_back(i < question ? data::kIgnoreIndex : tokens.token_ids.back());
  }
  // The first label of a sample has nothing before it that could predict it.
  tokens.targets = answer - (images + question == 0 && answer > 0 ? 1 : 0);
  return sample;
}

inline data::MicroBatch packed(const std::vector<data::Sample>& samples) {
  return data::pack(samples, {8, 16});
}

/// The same bits, unlike at::equal, for which 0 is -0 and NaN is nothing.
inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.contiguous().view(at::kInt).equal(b.contiguous().view(at::kInt));
}

}  // namespace vrwkv::test
