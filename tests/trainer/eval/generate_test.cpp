// SPDX-License-Identifier: Apache-2.0
#include "trainer/eval/generate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/data/data_test_support.h"
#include "tests/trainer/eval/answering_models.h"

namespace vrwkv::eval {
namespace {

using test::constant_model;
using test::random_sample;
using test::token_of;

const data::Tokenizer& tokenizer() {
  static const auto loaded = data::Tokenizer::load(test::vocabulary_file(), test::kTinyVocabulary);
  return loaded;
}

/// Greedy decoding without a state: everything so far runs through the model for each token.
/// @param multiple  the stop token is put in front until the length is a multiple of this.
std::vector<std::int64_t> recomputed(const model::VisualRwkv& model, data::Sample sample, std::int64_t most,
                                     std::int64_t multiple = 1) {
  std::vector<std::int64_t> answer;
  while (static_cast<std::int64_t>(answer.size()) < most) {
    data::Sample padded = sample;
    auto& ids = padded.tokens.token_ids;
    const auto length = static_cast<std::int64_t>(ids.size());
    const std::int64_t padding = (multiple - length % multiple) % multiple;
    ids.insert(ids.begin(), static_cast<std::size_t>(padding), data::kStopToken);
    padded.tokens.labels.assign(ids.size(), data::kIgnoreIndex);
    for (auto& start : padded.tokens.image_starts) start += padding;
    const data::MicroBatch batch = test::packed({padded});
    at::Tensor x = model.embed(batch.token_ids);
    if (batch.image_starts.numel() > 0)
      x = model::VisualRwkv::place_images(
          x, model.project_images(model.pool_images(model.encode_images(batch.pixels))), batch.image_starts);
    at::Tensor v_first;
    for (std::int64_t layer = 0; layer < model.config().language_model.n_layer; ++layer) {
      const auto result = model.block(layer, x, v_first, batch.sequence_starts);
      x = result.x;
      v_first = result.v_first;
    }
    const at::Tensor logits = at::matmul(model.final_norm(x)[0], model.head().t());
    const auto token = logits[-1].argmax().item<std::int64_t>();
    if (token == data::kStopToken || token == 0) break;
    answer.push_back(token);
    sample.tokens.token_ids.push_back(token);
    sample.tokens.labels.push_back(data::kIgnoreIndex);
  }
  return answer;
}

std::string bytes_of(const std::vector<std::int64_t>& tokens) {
  std::string bytes;
  for (const std::int64_t token : tokens) bytes += tokenizer().bytes(token);
  return bytes;
}

TEST(Generate, SaysWhatRecomputingThePromptForEachTokenSays) {
  std::size_t tokens = 0;
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    const model::VisualRwkv model = test::tiny_model(seed);
    for (const std::int64_t images : {0, 1, 2}) {
      const data::Sample sample = random_sample(images, 6, 0, 10 * seed + static_cast<std::uint64_t>(images));
      const auto expected = recomputed(model, sample, 20);
      std::string said;
      generate(model, tokenizer(), test::packed({sample}),
               {.max_new_tokens = 20,
                .left_padding = false,
                .context_length = 2048,
                .on_token = [&](std::string_view bytes) { said += bytes; }});
      EXPECT_EQ(said, bytes_of(expected)) << "seed " << seed << ", " << images << " images";
      tokens += expected.size();
    }
  }
  EXPECT_GT(tokens, 100U) << "too little was said to show anything";
}

TEST(Generate, LeftPaddingRecomputesAsTheOriginal) {
  std::size_t differ = 0;
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    const model::VisualRwkv model = test::tiny_model(seed);
    const data::Sample sample = random_sample(static_cast<std::int64_t>(seed % 3), 6, 0, seed);
    std::string said;
    generate(model, tokenizer(), test::packed({sample}),
             {.max_new_tokens = 20,
              .left_padding = true,
              .context_length = 2048,
              .on_token = [&](std::string_view bytes) { said += bytes; }});
    EXPECT_EQ(said, bytes_of(recomputed(model, sample, 20, 16))) << seed;
    differ += said == bytes_of(recomputed(model, sample, 20)) ? 0 : 1;
  }
  EXPECT_GT(differ, 0U) << "the padding changed nothing";
}

TEST(Generate, LeftPaddingSeesTheLastTokensOfItsContext) {
  const model::VisualRwkv model = test::tiny_model(9);
  const auto say = [&](std::int64_t context_length) {
    std::string said;
    generate(model, tokenizer(), test::packed({random_sample(0, 30, 0, 3)}),
             {.max_new_tokens = 20,
              .left_padding = true,
              .context_length = context_length,
              .on_token = [&](std::string_view bytes) { said += bytes; }});
    return said;
  };
  EXPECT_EQ(say(2048), say(100));
  EXPECT_NE(say(2048), say(3));
}

std::string answer_of(std::int64_t token, std::int64_t most) {
  return generate(
      constant_model(token), tokenizer(), test::packed({random_sample(1, 3, 0, 1)}),
      {.max_new_tokens = most, .left_padding = false, .context_length = 2048, .on_token = nullptr});
}

TEST(Generate, EndsAfterTheMostTokens) {
  EXPECT_EQ(answer_of(token_of('a'), 1), "a");
  EXPECT_EQ(answer_of(token_of('a'), 7), "aaaaaaa");
  EXPECT_EQ(answer_of(token_of('a'), 0), "");
}

TEST(Generate, EndsAtTheStopTokenAndAtIdZero) {
  EXPECT_EQ(answer_of(data::kStopToken, 9), "");
  EXPECT_EQ(answer_of(0, 9), "");
}

TEST(Generate, CutsAtABlankLineAndStrips) {
  EXPECT_EQ(answer_of(token_of('\n'), 9), "");
  EXPECT_EQ(answer_of(token_of(' '), 9), "");
  EXPECT_EQ(answer_of(token_of('\x1c'), 9), "");  // white space to Python
}

TEST(Generate, WhatIsNotTextBecomesTheReplacementCharacter) {
  EXPECT_EQ(answer_of(token_of('\x80'), 3), "\xEF\xBF\xBD");
}

TEST(Generate, RecordsNoGradients) {
  const model::VisualRwkv model = test::tiny_model(1);
  for (const auto& parameter : model.parameters()) at::Tensor(parameter.tensor).requires_grad_(true);
  EXPECT_NO_THROW(generate(model, tokenizer(), test::packed({random_sample(1, 3, 0, 1)}), {}));
}

}  // namespace
}  // namespace vrwkv::eval
