// SPDX-License-Identifier: Apache-2.0
// Seconds and working memory of each part of a training step of VisualRWKV 0.1B at its published size: one
// image, 1,024 image tokens and 76 of text, random weights, one thread, fp32. Prints one JSON object; on one
// thread the CPU's seconds say the same as the clock's where nobody else computes.
//   bench_trainer_parts [smallest]      the second form is a tiny model, so that the program cannot rot
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/core.h>

#include <chrono>
#include <ctime>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/trainer/step_shapes.h"
#include "common/flush_to_zero.h"
#include "kernels/adamw/adamw.h"
#include "tests/support/peak_memory.h"
#include "trainer/block_schedule.h"

namespace vrwkv::bench {
namespace {

using Json = nlohmann::ordered_json;

/// Seconds of `work`, and the most memory that it held beyond what was there.
Json measured(const std::function<void()>& work) {
  const test::PeakMemory peak;
  const std::clock_t cpu_begin = std::clock();
  const auto begin = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const double cpu_seconds = static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC;
  return {{"seconds", seconds.count()},
          {"cpu_seconds", cpu_seconds},
          {"working_mb", static_cast<double>(peak.bytes()) / 1e6}};
}

StepShape full_size() {
  StepShape shape = {.name = "0b1", .model = {}, .samples = {{1, 40, 36}}};
  shape.model.language_model = {.n_layer = 12, .n_embd = 768, .head_size = 64, .vocabulary_size = 65536};
  shape.model.vision.dinov2.emplace();
  shape.model.vision.siglip.emplace();
  shape.model.vision.sam.emplace();
  shape.model.vision.tokens_per_image = 1024;
  return shape;
}

/// Encodes one image with one encoder of `shape`, chosen by what `keep` leaves.
Json encoder(const StepShape& shape, const std::function<void(model::VisionConfig&)>& keep) {
  StepShape alone = shape;
  alone.model.language_model.n_layer = 1;
  keep(alone.model.vision);
  if (!alone.model.vision.any()) return {};
  const model::VisualRwkv model(alone.model, /*seed=*/1);
  const data::MicroBatch batch = make_batch(alone, model.image_sizes());
  return measured([&] { model.encode_images(batch.pixels); });
}

/// Projector, blocks, head and loss, on features that are there; forward and backward of `parts`.
void language_model(const StepShape& shape, const trainer::TrainableParts& parts, const std::string& stage,
                    Json& report) {
  StepShape text = shape;
  text.model.vision = {};
  for (auto& sample : text.samples) {
    sample.question += sample.images * shape.model.vision.tokens_per_image;
    sample.images = 0;
  }
  const model::VisualRwkv model(text.model, /*seed=*/1);
  const data::MicroBatch batch = make_batch(text, {});
  const sharding::FlatParameters parameters(parts.trainable(model.parameters()));
  const trainer::BlockSchedule schedule(model, parameters, {});
  const trainer::BatchScale scale = {.samples = 1, .penalty_positions = batch.supervised_tokens()};
  const at::Tensor gradient = parameters.new_gradient();
  report["forward, " + stage] = measured([&] { schedule.run(batch, scale, {}); });
  report["forward and backward, " + stage] = measured([&] { schedule.run(batch, scale, gradient); });
  at::Tensor master = parameters.flat(), exp_avg = at::zeros_like(master),
             exp_avg_sq = at::zeros_like(master);
  report["AdamW, " + stage] = measured([&] {
    kernels::adamw_update(master, exp_avg, exp_avg_sq, gradient, 1.0, {1e-4, 0.9, 0.99, 1e-8, 0.0, 1});
  });
}

Json run(const StepShape& shape) {
  Json report;
  report["dinov2"] = encoder(shape, [](auto& vision) { vision.siglip.reset(), vision.sam.reset(); });
  report["siglip"] = encoder(shape, [](auto& vision) { vision.dinov2.reset(), vision.sam.reset(); });
  report["sam"] = encoder(shape, [](auto& vision) { vision.dinov2.reset(), vision.siglip.reset(); });
  language_model(shape, trainer::TrainableParts::of_names({"embedding"}), "as in stage 1", report);
  language_model(shape, trainer::TrainableParts::of_names({"blocks", "head"}), "as in stage 2", report);
  return report;
}

}  // namespace
}  // namespace vrwkv::bench

int main(int argc, char** argv) {
  at::set_num_threads(1);
  vrwkv::flush_denormals_to_zero();
  const bool small = argc > 1 && std::string(argv[1]) == "smallest";
  const auto shape = small ? vrwkv::bench::step_shapes().front() : vrwkv::bench::full_size();
  fmt::print("{}\n", vrwkv::bench::run(shape).dump(2));
  return 0;
}
