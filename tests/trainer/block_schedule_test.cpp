// SPDX-License-Identifier: Apache-2.0
// The schedule against one autograd graph over everything, each sample alone.
#include "trainer/block_schedule.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>
#include <numeric>

#include "tests/support/peak_memory.h"
#include "tests/trainer/model/fixture.h"
#include "tests/trainer/tiny_model.h"

namespace vrwkv::trainer {
namespace {

using model::test::kForwardTolerance;
using model::test::kGradientTolerance;
using model::test::relative_rms;
using test::random_sample;
using ::testing::Each;

/// Chosen so that the penalty's gradient is about as large as that of the cross-entropy and a mistake in it
/// shows.
constexpr BatchScale kScale = {.samples = 4096, .penalty_positions = 2};

/// Images in front, two images, text only, nothing to learn.
std::vector<data::Sample> samples() {
  return {random_sample(1, 3, 4, 1), random_sample(2, 1, 2, 2), random_sample(0, 5, 6, 3),
          random_sample(1, 2, 0, 4)};
}

std::vector<NamedTensor> trainable_parameters(const model::VisualRwkv& model, const TrainableParts& parts) {
  std::vector<NamedTensor> result;
  for (const auto& parameter : model.parameters())
    if (parts.includes(parameter.name)) {
      result.push_back(parameter);
      result.back().tensor.requires_grad_(true);
    }
  return result;
}

/// (T, C), with its whole graph.
at::Tensor hidden_of(const model::VisualRwkv& model, const data::MicroBatch& batch) {
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
  return model.final_norm(x)[0];
}

struct Reference {
  std::vector<double> sample_losses;
  std::map<std::string, at::Tensor> gradients;
};

Reference reference(const TrainableParts& parts, L2Wrap l2wrap) {
  const model::VisualRwkv model = test::tiny_model(/*seed=*/5);
  const auto parameters = trainable_parameters(model, parts);
  Reference result;
  at::Tensor total = at::zeros({});
  for (const data::Sample& sample : samples()) {
    const data::MicroBatch alone = test::packed({sample});
    const at::Tensor logits = at::matmul(hidden_of(model, alone), model.head().t());
    const std::int64_t tokens = logits.size(0);
    const at::Tensor labels = alone.labels.slice(0, 1);
    const at::Tensor supervised = (labels != data::kIgnoreIndex).nonzero().squeeze(1);
    const at::Tensor chosen = at::log_softmax(logits, -1).index({supervised, labels.index({supervised})});
    const at::Tensor loss =
        -chosen.sum() / static_cast<double>(std::max<std::int64_t>(1, supervised.numel()));
    result.sample_losses.push_back(loss.item<double>());
    total = total + loss / static_cast<double>(kScale.samples);
    // d(m^2 / 2) = m: what the penalty adds to the gradient of the largest logit, times its scale.
    const at::Tensor covered = l2wrap == L2Wrap::kAll ? at::arange(tokens, at::kLong) : supervised;
    const at::Tensor largest = std::get<0>(logits.index({covered}).max(1));
    const double penalty =
        l2wrap == L2Wrap::kOff ? 0.0 : 1e-4 / static_cast<double>(kScale.penalty_positions);
    total = total + 0.5 * penalty * largest.square().sum();
  }
  std::vector<at::Tensor> inputs;
  for (const auto& parameter : parameters) inputs.push_back(parameter.tensor);
  const auto gradients = torch::autograd::grad({total}, inputs);
  for (std::size_t i = 0; i < gradients.size(); ++i) result.gradients[parameters[i].name] = gradients[i];
  return result;
}

/// A model whose parameters of `parts` learn, and what its schedule makes of a micro-batch.
struct Learner {
  explicit Learner(const TrainableParts& parts)
      : model(test::tiny_model(/*seed=*/5)), parameters(trainable_parameters(model, parts)) {}

  at::Tensor gradient_of(const data::MicroBatch& batch, BlockSchedule::Options options,
                         MicroBatchLoss* loss = nullptr, BatchScale scale = kScale) {
    if (options.l2wrap == L2Wrap::kOff) scale.penalty_positions = 0;
    const at::Tensor gradient = parameters.new_gradient();
    const MicroBatchLoss result =
        BlockSchedule(model, parameters, std::move(options)).run(batch, scale, gradient);
    if (loss != nullptr) *loss = result;
    return gradient;
  }

  model::VisualRwkv model;
  sharding::FlatParameters parameters;
};

struct Case {
  std::string name;
  TrainableParts parts;
  L2Wrap l2wrap;
};

class BlockScheduleGradients : public ::testing::TestWithParam<Case> {};

TEST_P(BlockScheduleGradients, AreThoseOfOneGraphOverEverything) {
  const auto& [name, parts, l2wrap] = GetParam();
  const Reference expected = reference(parts, l2wrap);
  Learner learner(parts);
  MicroBatchLoss loss;
  const at::Tensor flat =
      learner.gradient_of(test::packed(samples()), {.recompute = {}, .l2wrap = l2wrap}, &loss);

  ASSERT_EQ(loss.sample_losses.size(), expected.sample_losses.size());
  for (std::size_t s = 0; s < loss.sample_losses.size(); ++s)
    EXPECT_NEAR(loss.sample_losses[s], expected.sample_losses[s],
                kForwardTolerance * expected.sample_losses[s])
        << s;
  EXPECT_DOUBLE_EQ(loss.loss,
                   std::accumulate(loss.sample_losses.begin(), loss.sample_losses.end(), 0.0) / 4096);

  const auto views = learner.parameters.views(flat);
  ASSERT_EQ(views.size(), expected.gradients.size());
  for (std::size_t i = 0; i < views.size(); ++i) {
    const std::string& parameter = learner.parameters.entries()[i].name;
    EXPECT_GT(expected.gradients.at(parameter).abs().max().item<float>(), 0.0F) << parameter;
    EXPECT_LE(relative_rms(views[i], expected.gradients.at(parameter)), kGradientTolerance) << parameter;
    views[i].zero_();
  }
  EXPECT_EQ(flat.count_nonzero().item<std::int64_t>(), 0) << "something was written between the parameters";
}

std::vector<Case> cases() {
  return {{"stage_1", TrainableParts::of_stage(1), L2Wrap::kSupervised},
          {"stage_1_penalty_everywhere", TrainableParts::of_stage(1), L2Wrap::kAll},
          {"stage_2", TrainableParts::of_stage(2), L2Wrap::kSupervised},
          {"stage_2_penalty_everywhere", TrainableParts::of_stage(2), L2Wrap::kAll},
          {"stage_2_without_penalty", TrainableParts::of_stage(2), L2Wrap::kOff},
          {"everything", {.projector = true, .blocks = true, .head = true, .embedding = true}, L2Wrap::kAll},
          {"blocks", {.blocks = true}, L2Wrap::kSupervised},
          {"head", {.head = true}, L2Wrap::kSupervised},
          {"embedding", {.embedding = true}, L2Wrap::kSupervised}};
}

INSTANTIATE_TEST_SUITE_P(TrainableParts, BlockScheduleGradients, ::testing::ValuesIn(cases()),
                         [](const auto& tested) { return tested.param.name; });

TEST(BlockSchedule, ThePenaltyShowsInTheseTests) {
  Learner learner(TrainableParts::of_stage(2));
  const data::MicroBatch batch = test::packed(samples());
  const at::Tensor without = learner.gradient_of(batch, {.recompute = {}, .l2wrap = L2Wrap::kOff});
  const at::Tensor with = learner.gradient_of(batch, {.recompute = {}, .l2wrap = L2Wrap::kSupervised});
  EXPECT_GT(relative_rms(with, without), 100 * kGradientTolerance);
}

TEST(BlockSchedule, RecomputingAnyBlocksGivesTheSameBits) {
  const data::MicroBatch batch = test::packed(samples());
  for (const std::int64_t stage : {1, 2}) {
    Learner learner(TrainableParts::of_stage(stage));
    MicroBatchLoss kept;
    const at::Tensor expected = learner.gradient_of(batch, {}, &kept);
    for (const std::vector<bool>& recompute : {std::vector<bool>{true, true, true},
                                               {true, false, false},
                                               {false, true, false},
                                               {false, false, true}}) {
      MicroBatchLoss recomputed;
      const at::Tensor gradient = learner.gradient_of(batch, {.recompute = recompute}, &recomputed);
      EXPECT_TRUE(test::same_bits(gradient, expected)) << "stage " << stage;
      EXPECT_EQ(recomputed.loss, kept.loss);
    }
  }
}

TEST(BlockSchedule, FewerKeptStatesGiveTheSameBitsInLessMemory) {
  const data::MicroBatch batch = test::packed({random_sample(0, 50, 70, 1), random_sample(1, 3, 40, 2)});
  for (const std::vector<bool>& recompute : {std::vector<bool>{}, {false, true, false}}) {
    Learner learner(TrainableParts::of_stage(2));
    const auto peak_of = [&](std::int64_t kept_states_bytes, at::Tensor* gradient) {
      const test::PeakMemory peak;
      *gradient =
          learner.gradient_of(batch, {.recompute = recompute, .kept_states_bytes = kept_states_bytes});
      return peak.bytes();
    };
    at::Tensor expected, gradient;
    const std::int64_t whole = peak_of(std::int64_t{1} << 40, &expected);
    EXPECT_LT(peak_of(200'000, &gradient), whole) << "a block's states take 106,496 bytes";
    EXPECT_TRUE(test::same_bits(gradient, expected));
    peak_of(0, &gradient);
    EXPECT_TRUE(test::same_bits(gradient, expected)) << "one state of each sequence";
  }
}

TEST(BlockSchedule, ForwardOnlyGivesTheSameLossesAndTheHiddenStates) {
  Learner learner(TrainableParts::of_stage(2));
  const data::MicroBatch batch = test::packed(samples());
  MicroBatchLoss learning;
  learner.gradient_of(batch, {}, &learning);
  const BlockSchedule schedule(learner.model, learner.parameters,
                               {.recompute = {true, false, true}, .keep_hidden = true});
  const MicroBatchLoss forward = schedule.run(batch, kScale, at::Tensor());
  EXPECT_EQ(forward.loss, learning.loss);
  EXPECT_EQ(forward.sample_losses, learning.sample_losses);
  EXPECT_FALSE(learning.hidden.defined());
  ASSERT_TRUE(forward.hidden.defined());
  EXPECT_FALSE(forward.hidden.requires_grad());
  EXPECT_TRUE(test::same_bits(forward.hidden, hidden_of(learner.model, batch).detach()));
}

TEST(BlockSchedule, TextAloneTeachesTheProjectorNothing) {
  Learner learner(TrainableParts::of_stage(1));
  MicroBatchLoss loss;
  const at::Tensor gradient = learner.gradient_of(test::packed({random_sample(0, 5, 6, 3)}), {}, &loss);
  EXPECT_GT(loss.loss, 0.0);
  EXPECT_EQ(gradient.count_nonzero().item<std::int64_t>(), 0);
}

TEST(BlockSchedule, WithoutTargetsOnlyThePenaltyHasAGradient) {
  Learner learner(TrainableParts::of_stage(2));
  const data::MicroBatch batch = test::packed({random_sample(1, 4, 0, 7)});
  MicroBatchLoss loss;
  const at::Tensor supervised = learner.gradient_of(batch, {}, &loss);
  EXPECT_EQ(loss.loss, 0.0);
  EXPECT_EQ(supervised.count_nonzero().item<std::int64_t>(), 0);
  EXPECT_GT(learner.gradient_of(batch, {.recompute = {}, .l2wrap = L2Wrap::kAll}).norm().item<float>(), 0.0F);
}

TEST(BlockSchedule, AMicroBatchOfBadSamplesOnlyIsZero) {
  Learner learner(TrainableParts::of_stage(2));
  data::Sample bad = random_sample(0, 1, 1, 1);
  bad.bad = "mix.json: sample '1': cannot be read.";
  MicroBatchLoss loss;
  const at::Tensor gradient = learner.gradient_of(test::packed({bad}), {}, &loss);
  EXPECT_EQ(loss.loss, 0.0);
  EXPECT_TRUE(loss.sample_losses.empty());
  EXPECT_EQ(gradient.count_nonzero().item<std::int64_t>(), 0);
}

// The model's parameters are views of one flat tensor, which the optimizer changes in place.
TEST(BlockSchedule, SeesUpdatesOfTheFlatParameters) {
  Learner learner(TrainableParts::of_stage(2));
  const data::MicroBatch batch = test::packed(samples());
  const BlockSchedule schedule(learner.model, learner.parameters, {});
  const double before = schedule.run(batch, kScale, learner.parameters.new_gradient()).loss;
  learner.parameters.flat().detach().mul_(0.5);
  EXPECT_NE(schedule.run(batch, kScale, learner.parameters.new_gradient()).loss, before);
}

}  // namespace
}  // namespace vrwkv::trainer
