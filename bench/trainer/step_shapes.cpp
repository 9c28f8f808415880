// SPDX-License-Identifier: Apache-2.0
#include "bench/trainer/step_shapes.h"

#include <ATen/ATen.h>

#include <utility>

#include "common/error.h"

namespace vrwkv::bench {
namespace {

StepShape smallest() {
  StepShape shape = {.name = "smallest", .model = {}, .samples = {{1, 6, 6}, {0, 10, 12}, {1, 4, 3}}};
  shape.model.language_model = {.n_layer = 2, .n_embd = 64, .head_size = 32, .vocabulary_size = 512};
  shape.model.vision.siglip = {
      .image_size = 16, .patch_size = 4, .width = 16, .depth = 2, .heads = 2, .mlp_hidden = 32};
  shape.model.vision.tokens_per_image = 16;
  return shape;
}

StepShape quickstart() {
  StepShape shape = {.name = "quickstart", .model = {}, .samples = {{1, 20, 3}, {1, 24, 4}, {0, 22, 4}}};
  shape.model.language_model = {.n_layer = 3, .n_embd = 128, .head_size = 64, .vocabulary_size = 4096};
  model::VisionConfig& vision = shape.model.vision;
  vision.dinov2 = {
      .image_size = 64, .patch_size = 8, .width = 128, .depth = 2, .heads = 2, .mlp_hidden = 256};
  vision.siglip = {
      .image_size = 64, .patch_size = 8, .width = 128, .depth = 2, .heads = 2, .mlp_hidden = 256};
  vision.sam = {.image_size = 64,
                .patch_size = 4,
                .width = 64,
                .depth = 1,
                .heads = 2,
                .mlp_hidden = 128,
                .window_size = 8,
                .global_blocks = {0},
                .neck_width = 32};
  vision.tokens_per_image = 64;
  return shape;
}

StepShape published() {
  StepShape shape = {.name = "0b1", .model = {}, .samples = {{0, 400, 112}, {0, 200, 100}}};
  shape.model.language_model = {.n_layer = 12, .n_embd = 768, .head_size = 64, .vocabulary_size = 65536};
  return shape;
}

/// The published language model on 4 rows of `tokens`, of which the last `answer` are supervised.
StepShape four_rows(const char* name, std::int64_t tokens, std::int64_t answer) {
  StepShape shape = {.name = name, .model = published().model, .samples = {}};
  shape.samples.assign(4, {0, tokens - answer, answer});
  return shape;
}

/// Rows of whole chunks of tokens, so that what is written in Python can take it too.
StepShape smallest_rows() {
  StepShape shape = {.name = "smallest_rows", .model = {}, .samples = {{0, 12, 52}, {0, 60, 4}}};
  shape.model.language_model = {.n_layer = 2, .n_embd = 64, .head_size = 32, .vocabulary_size = 512};
  return shape;
}

}  // namespace

std::vector<StepShape> step_shapes() {
  return {smallest(),
          quickstart(),
          published(),
          four_rows("rows", 512, 511),
          four_rows("answers", 512, 128),
          four_rows("short_rows", 256, 255),
          four_rows("short_answers", 256, 64),
          smallest_rows()};
}

StepShape step_shape(const std::string& name) {
  for (StepShape& shape : step_shapes())
    if (shape.name == name) return std::move(shape);
  throw ConfigError("step_shape: there is no shape {}.", name);
}

data::MicroBatch make_batch(const StepShape& shape, const std::vector<std::int64_t>& image_sizes) {
  at::manual_seed(1);
  const std::int64_t tokens_per_image = shape.model.vision.tokens_per_image;
  std::vector<data::Sample> samples;
  for (const auto& [images, question, answer] : shape.samples) {
    data::Sample& sample = samples.emplace_back();
    data::Encoded& tokens = sample.tokens;
    for (std::int64_t image = 0; image < images; ++image) {
      tokens.image_starts.push_back(static_cast<std::int64_t>(tokens.token_ids.size()));
      tokens.token_ids.insert(tokens.token_ids.end(), static_cast<std::size_t>(tokens_per_image),
                              data::kImageToken);
      for (const std::int64_t size : image_sizes)
        sample.pixels[size].push_back(at::randint(0, 256, {3, size, size}, at::kByte));
    }
    tokens.labels.assign(tokens.token_ids.size(), data::kIgnoreIndex);
    const at::Tensor text =
        at::randint(1, shape.model.language_model.vocabulary_size - 1, {question + answer}, at::kLong);
    for (std::int64_t i = 0; i < question + answer; ++i) {
      tokens.token_ids.push_back(text[i].item<std::int64_t>());
      tokens.labels.push_back(i < question ? data::kIgnoreIndex : tokens.token_ids.back());
    }
    tokens.targets = answer;
  }
  return data::pack(samples, image_sizes);
}

}  // namespace vrwkv::bench
