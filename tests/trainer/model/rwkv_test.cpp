// SPDX-License-Identifier: Apache-2.0
// The language model against tools/fixtures/make_model_fixtures.py, and against itself: packed, split, token
// by token.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/trainer/model/fixture.h"

namespace vrwkv::model {
namespace {

using test::Fixture;
using test::kForwardTolerance;
using test::kGradientTolerance;
using test::relative_rms;

ModelConfig fixture_config() {
  ModelConfig config;
  config.language_model = {.n_layer = 3,
                           .n_embd = 32,
                           .head_size = 16,
                           .vocabulary_size = 40,
                           .decay_rank = 6,
                           .iclr_rank = 5,
                           .value_rank = 4,
                           .gate_rank = 7};
  return config;
}

at::Tensor starts(std::vector<std::int64_t> values) { return at::tensor(values, at::kLong); }

/// (T, V).
at::Tensor logits_of(const VisualRwkv& model, const at::Tensor& token_ids, const at::Tensor& sequence_starts,
                     RwkvState* state = nullptr) {
  at::Tensor x = model.embed(token_ids);
  at::Tensor v_first;
  for (std::int64_t layer = 0; layer < model.config().language_model.n_layer; ++layer) {
    auto result = model.block(layer, x, v_first, sequence_starts,
                              state != nullptr ? &state->at(static_cast<std::size_t>(layer)) : nullptr);
    x = result.x;
    v_first = result.v_first;
  }
  return at::linear(model.final_norm(x), model.head())[0];
}

class Rwkv7 : public ::testing::Test {
 protected:
  const Fixture fixture_{"rwkv7.h5"};
  const VisualRwkv model_ = fixture_.model(fixture_config());
  const at::Tensor token_ids_ = fixture_.integers("token_ids");
  const at::Tensor starts_ = fixture_.integers("sequence_starts");
  const at::Tensor logits_ = fixture_.floats("logits");
};

TEST_F(Rwkv7, GivesTheReferencesLogits) {
  EXPECT_LE(relative_rms(logits_of(model_, token_ids_, starts_), logits_), kForwardTolerance);
}

TEST_F(Rwkv7, GivesTheReferencesGradients) {
  for (const auto& parameter : model_.parameters()) at::Tensor(parameter.tensor).requires_grad_(true);
  (logits_of(model_, token_ids_, starts_) * fixture_.floats("logit_weights")).sum().backward();
  for (const auto& [name, tensor] : model_.parameters()) {
    ASSERT_TRUE(tensor.grad().defined()) << name;
    EXPECT_LE(relative_rms(tensor.grad(), fixture_.floats("gradients/" + name)), kGradientTolerance) << name;
  }
}

TEST_F(Rwkv7, GivesTheSameGradientsWithTheGraphCutBetweenBlocks) {
  const at::Tensor x = model_.embed(token_ids_);
  const auto first = model_.block(0, x, {}, starts_);
  const auto leaf = [](const at::Tensor& tensor) { return tensor.detach().requires_grad_(true); };
  const at::Tensor cut_x = leaf(first.x);
  const at::Tensor cut_v = leaf(first.v_first);
  const auto second = model_.block(1, cut_x, cut_v, starts_);
  EXPECT_EQ(second.v_first.const_data_ptr(), cut_v.const_data_ptr());  // handed on, not copied
  const auto gradients = torch::autograd::grad({second.x}, {cut_x, cut_v}, {at::ones_like(second.x)});

  const at::Tensor whole_x = leaf(first.x);
  const at::Tensor whole_v = leaf(first.v_first);
  model_.block(1, whole_x, whole_v, starts_).x.sum().backward();
  EXPECT_TRUE(gradients[0].equal(whole_x.grad()));
  EXPECT_TRUE(gradients[1].equal(whole_v.grad()));
}

TEST_F(Rwkv7, PackedSequencesDoNotSeeEachOther) {
  const at::Tensor packed = logits_of(model_, token_ids_, starts_);
  const std::vector<std::int64_t> edges = {0, 11, 12, token_ids_.size(0)};
  for (std::size_t s = 0; s + 1 < edges.size(); ++s) {
    const at::Tensor alone = logits_of(model_, token_ids_.slice(0, edges[s], edges[s + 1]), starts({0}));
    EXPECT_LE(relative_rms(packed.slice(0, edges[s], edges[s + 1]), alone), kForwardTolerance) << s;
  }
}

TEST_F(Rwkv7, DecodesTokenByTokenLikeTheWholeSequence) {
  const at::Tensor ids = token_ids_.slice(0, 12);
  RwkvState state = model_.initial_state(1);
  std::vector<at::Tensor> rows;
  for (std::int64_t t = 0; t < ids.size(0); ++t)
    rows.push_back(logits_of(model_, ids.narrow(0, t, 1), starts({0}), &state));
  EXPECT_LE(relative_rms(at::cat(rows), logits_.slice(0, 12)), kForwardTolerance);
}

TEST_F(Rwkv7, CarriesTheStatesOfPackedSequencesAcrossASplit) {
  // Both long sequences are cut in two; the state of each goes from its first half to its second.
  RwkvState state = model_.initial_state(2);
  const at::Tensor heads = at::cat({token_ids_.slice(0, 0, 4), token_ids_.slice(0, 12, 22)});
  const at::Tensor tails = at::cat({token_ids_.slice(0, 4, 11), token_ids_.slice(0, 22, 30)});
  const at::Tensor head_logits = logits_of(model_, heads, starts({0, 4}), &state);
  const at::Tensor tail_logits = logits_of(model_, tails, starts({0, 7}), &state);
  EXPECT_LE(relative_rms(head_logits, at::cat({logits_.slice(0, 0, 4), logits_.slice(0, 12, 22)})),
            kForwardTolerance);
  EXPECT_LE(relative_rms(tail_logits, at::cat({logits_.slice(0, 4, 11), logits_.slice(0, 22, 30)})),
            kForwardTolerance);
}

TEST_F(Rwkv7, GivesTheSameBitsAgain) {
  EXPECT_TRUE(logits_of(model_, token_ids_, starts_).equal(logits_of(model_, token_ids_, starts_)));
}

TEST(RwkvWithRandomParameters, OneLayerGivesFiniteLogits) {
  ModelConfig config = fixture_config();
  config.language_model.n_layer = 1;
  const VisualRwkv model(config, /*seed=*/3);
  EXPECT_TRUE(logits_of(model, at::arange(40), starts({0, 20})).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace vrwkv::model
