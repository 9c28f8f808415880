// SPDX-License-Identifier: Apache-2.0
// What an image and a label cost in tokens, measured, beside what a step is dealt by (trainer/image_cost.h),
// and what becomes of the balance when a step dealt by the one costs the other.
//
// The published 0.1B widths at a quarter of their depths, language model and encoders alike, so that their
// ratio is that of the whole model; 1,024 tokens, fp32, one thread, seconds of processor time. In turns: each
// round gives a ratio of its own. Prints one JSON object.
//   bench_trainer_image_cost [ROUNDS | smallest]     the second form is a tiny model, for the tests
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/trainer/step_shapes.h"
#include "common/flush_to_zero.h"
#include "data/plan/deal.h"
#include "sharding/flat_parameters.h"
#include "tests/support/dearest_share.h"
#include "tests/support/mixture_lengths.h"
#include "trainer/block_schedule.h"
#include "trainer/image_cost.h"
#include "trainer/model/encoder_cost.h"
#include "trainer/trainable.h"

namespace vrwkv::bench {
namespace {

using Json = nlohmann::ordered_json;

/// The head is as deep as it is, so that beside a quarter of the blocks a label weighs four times as much.
constexpr double kDepths = 4;

model::ModelConfig quarter_of_published() {
  model::ModelConfig config;
  config.language_model = {.n_layer = 3, .n_embd = 768, .head_size = 64, .vocabulary_size = 65536};
  config.vision.dinov2.emplace().depth = 1 + 6;  // the last block is not computed: 23 of 24, 26 of 27
  config.vision.siglip.emplace().depth = 1 + 6;
  config.vision.sam.emplace().depth = 3;
  config.vision.sam->global_blocks = {2};
  config.vision.tokens_per_image = 1024;
  return config;
}

double cpu_seconds(const std::function<void()>& work) {
  const std::clock_t begin = std::clock();
  work();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

/// Seconds of one image in all encoders.
double image_seconds(const model::VisualRwkv& model) {
  const StepShape shape = {.name = "image", .model = model.config(), .samples = {{1, 1, 1}}};
  const data::MicroBatch batch = make_batch(shape, model.image_sizes());
  return cpu_seconds([&] { model.encode_images(batch.pixels); });
}

/// Seconds of forward and backward of `tokens` tokens, of which `labels` are supervised, as in stage 2.
double text_seconds(const model::VisualRwkv& model, std::int64_t tokens, std::int64_t labels) {
  const StepShape shape = {
      .name = "text", .model = model.config(), .samples = {{0, tokens - labels, labels}}};
  const data::MicroBatch batch = make_batch(shape, {});
  const sharding::FlatParameters parameters(
      trainer::TrainableParts::of_names({"blocks", "head"}).trainable(model.parameters()));
  const trainer::BlockSchedule schedule(model, parameters, {});
  const trainer::BatchScale scale = {.samples = 1, .penalty_positions = batch.supervised_tokens()};
  const at::Tensor gradient = parameters.new_gradient();
  return cpu_seconds([&] { schedule.run(batch, scale, gradient); });
}

/// Tokens that an image and a label cost beside their own.
struct Costs {
  double image = 0, label = 0;
};

struct Round {
  double image_seconds, token_seconds, label_seconds;
  Costs costs() const { return {image_seconds / token_seconds, label_seconds / (kDepths * token_seconds)}; }
};

Round measure(const model::VisualRwkv& vision, const model::VisualRwkv& text, std::int64_t tokens) {
  const std::int64_t few = tokens / 64, many = tokens / 2;
  const double image = image_seconds(vision);
  const double with_few = text_seconds(text, tokens, few), with_many = text_seconds(text, tokens, many);
  const double label = (with_many - with_few) / static_cast<double>(many - few);
  return {image, (with_few - label * static_cast<double>(few)) / static_cast<double>(tokens), label};
}

/// What the dearest rank of a step costs over the mean on average; 8 micro-batches of 4 samples a rank, dealt
/// by tokens and images of `dealt_image_cost`, costing `real`, where half of a sample's text is supervised.
double balance(std::int64_t ranks, std::int64_t dealt_image_cost, const Costs& real) {
  const int steps = static_cast<int>(std::max<std::int64_t>(3, 320 / ranks));
  double mean = 0;
  std::uint64_t drawn = 0;
  for (int step = 0; step < steps; ++step) {
    std::vector<std::int64_t> dealt_by;
    std::vector<double> costs, micro_batches;
    for (std::int64_t i = 0; i < 32 * ranks; ++i) {
      const auto [text, images] =
          test::mixture_length(static_cast<std::int64_t>(mix64(++drawn) % test::kMixtureSamples));
      const std::int64_t tokens = std::min<std::int64_t>(text + 1024 * images, 2048);
      dealt_by.push_back(tokens + images * dealt_image_cost);
      costs.push_back(static_cast<double>(tokens) + static_cast<double>(images) * real.image +
                      static_cast<double>(text) / 2 * real.label);
    }
    for (const auto& samples : data::deal(dealt_by, 8 * ranks)) {
      double& sum = micro_batches.emplace_back(0);
      for (const std::int64_t sample : samples) sum += costs[static_cast<std::size_t>(sample)];
    }
    mean += test::dearest_share(micro_batches, ranks) / steps;
  }
  return mean;
}

Json spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {{"median", values[values.size() / 2]}, {"least", values.front()}, {"most", values.back()}};
}

Json run(const model::ModelConfig& config, std::int64_t tokens, int rounds) {
  model::ModelConfig text_alone = config;
  text_alone.vision = {};
  const model::VisualRwkv vision(config, /*seed=*/1), text(text_alone, /*seed=*/1);
  measure(vision, text, tokens);  // what is only done once
  std::vector<double> image, token, label, image_cost, label_cost;
  for (int i = 0; i < rounds; ++i) {
    const Round round = measure(vision, text, tokens);
    image.push_back(round.image_seconds);
    token.push_back(round.token_seconds);
    label.push_back(round.label_seconds);
    image_cost.push_back(round.costs().image);
    label_cost.push_back(round.costs().label);
  }
  const std::int64_t modelled = trainer::image_cost_in_tokens(config);
  Json report = {
      {"image_seconds", spread(image)},        {"image_gflop", model::encoder_flops(config.vision) / 1e9},
      {"token_seconds", spread(token)},        {"label_seconds", spread(label)},
      {"image_in_tokens", spread(image_cost)}, {"image_in_tokens_modelled", modelled},
      {"label_in_tokens", spread(label_cost)}};
  const Costs real = {report["image_in_tokens"]["median"], report["label_in_tokens"]["median"]};
  for (const std::int64_t ranks : {8, 64, 1024})
    report["balance"][fmt::format("{} ranks", ranks)] = {
        {"as modelled", balance(ranks, modelled, {static_cast<double>(modelled), 0})},
        {"images as measured", balance(ranks, modelled, {real.image, 0})},
        {"images and labels as measured", balance(ranks, modelled, real)}};
  return report;
}

}  // namespace
}  // namespace vrwkv::bench

int main(int argc, char** argv) {
  using namespace vrwkv;
  at::set_num_threads(1);
  flush_denormals_to_zero();
  const std::string word = argc > 1 ? argv[1] : "3";
  const bool small = word == "smallest";
  fmt::print("{}\n", bench::run(small ? bench::step_shape("smallest").model : bench::quarter_of_published(),
                                small ? 64 : 1024, small ? 1 : std::stoi(word))
                         .dump(2));
  return 0;
}
