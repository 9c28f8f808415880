// SPDX-License-Identifier: Apache-2.0
// Seconds of one training step (forward, backward, clipping, AdamW) of one micro-batch on one rank: the
// trainer's parts beside the same model written in eager PyTorch style. Same process, weights, samples and
// threads, in turn; before anything is timed both must give the same loss and gradient norm. Prints one JSON
// object.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "bench/trainer/eager_model.h"
#include "bench/trainer/step_shapes.h"
#include "bench/trainer/trainer_step.h"
#include "common/error.h"
#include "common/flush_to_zero.h"
#include "common/mpi/environment.h"

namespace vrwkv::bench {
namespace {

using Json = nlohmann::ordered_json;

class EagerStep {
 public:
  EagerStep(const model::VisualRwkv& model, const trainer::TrainableParts& parts,
            const data::MicroBatch& batch)
      : batch_(pad(batch)),
        model_(model, parts),
        optimizer_(
            model_.trainable(),
            torch::optim::AdamWOptions(kLearningRate).betas({kBeta1, kBeta2}).eps(kEpsilon).weight_decay(0)) {
  }

  StepResult operator()() {
    optimizer_.zero_grad();
    const at::Tensor loss = model_.loss(batch_);
    loss.backward();
    StepResult result = {.loss = loss.item<double>(), .grad_norm = 0};
    result.grad_norm = torch::nn::utils::clip_grad_norm_(model_.trainable(), kClip);
    optimizer_.step();
    return result;
  }

 private:
  PaddedBatch batch_;
  EagerModel model_;
  torch::optim::AdamW optimizer_;
};

/// Both compute the same thing, or their times say nothing. fp32, sums in another order.
void require_agreement(const StepResult& ours, const StepResult& eager, const std::string& shape) {
  if (std::abs(ours.loss - eager.loss) > 1e-4 * eager.loss ||
      std::abs(ours.grad_norm - eager.grad_norm) > 1e-3 * eager.grad_norm)
    throw NumericError(
        "shape {}: the trainer's step has loss {} and gradient norm {}, the eager one {} and {} (they are "
        "not "
        "the same computation).",
        shape, ours.loss, ours.grad_norm, eager.loss, eager.grad_norm);
}

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Json summary(const std::vector<double>& seconds) {
  const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
  return {{"median_seconds", median(seconds)}, {"least_seconds", *least}, {"most_seconds", *most}};
}

void use_threads(int threads) {
  at::set_num_threads(threads);
  at::parallel_for(0, threads, 1, [](std::int64_t, std::int64_t) { flush_denormals_to_zero(); });
}

Json measure(const StepShape& shape, int threads, int repetitions, const mpi::Communicator& world) {
  use_threads(threads);
  const auto parts = trainer::TrainableParts::of_stage(2);
  const model::VisualRwkv model = make_model(shape.model);
  const data::MicroBatch batch = make_batch(shape, model.image_sizes());
  EagerStep eager(model, parts, batch);
  TrainerStep ours(model, parts, batch, world);
  require_agreement(ours(), eager(), shape.name);

  std::vector<double> our_seconds, eager_seconds, ratios;
  for (int i = 0; i < repetitions; ++i) {
    our_seconds.push_back(seconds_of([&] { ours(); }));
    eager_seconds.push_back(seconds_of([&] { eager(); }));
  }
  const model::LanguageModelConfig& config = shape.model.language_model;
  const PaddedBatch padded = pad(batch);
  return {{"shape",
           {{"name", shape.name},
            {"n_layer", config.n_layer},
            {"n_embd", config.n_embd},
            {"vocabulary_size", config.vocabulary_size},
            {"samples", batch.sequence_starts.numel()},
            {"images", batch.image_starts.numel()},
            {"tokens", batch.tokens()},
            {"padded_tokens", padded.token_ids.numel()},
            {"supervised_tokens", batch.supervised_tokens()}}},
          {"threads", threads},
          {"trainer", summary(our_seconds)},
          {"eager", summary(eager_seconds)},
          {"eager_over_trainer", median(eager_seconds) / median(our_seconds)}};
}

/// Of the source tree, with "-dirty" when files differ from it; "unknown" outside of git.
std::string commit() {
  std::string text;
  if (FILE* pipe =
          popen("git -C '" VRWKV_SOURCE_DIR "' describe --always --abbrev=40 --dirty 2>/dev/null", "r")) {
    for (int c = std::fgetc(pipe); c != EOF && c != '\n'; c = std::fgetc(pipe)) text += static_cast<char>(c);
    pclose(pipe);
  }
  return text.empty() ? "unknown" : text;
}

int run(int argc, char** argv) {
  std::set<std::string> known;
  for (const StepShape& shape : step_shapes()) known.insert(shape.name);
  std::vector<std::string> names = {"smallest", "quickstart"};
  std::vector<int> threads = {1, 2};
  int repetitions = 9;
  CLI::App app("One training step: the trainer against eager LibTorch. Prints JSON.");
  app.add_option("--shape", names, "Models and micro-batches (repeatable)")
      ->check(CLI::IsMember(known))
      ->capture_default_str();
  app.add_option("--threads", threads, "Thread counts, one after the other")->check(CLI::PositiveNumber);
  app.add_option("--repetitions", repetitions, "Timed steps of each side")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  const auto world = mpi::Communicator::duplicate(MPI_COMM_SELF);
  Json report = {
      {"benchmark", "trainer_step"}, {"commit", commit()},      {"device", "cpu"}, {"dtype", "fp32"},
      {"repetitions", repetitions},  {"results", Json::array()}};
  for (const std::string& name : names)
    for (const int count : threads)
      report["results"].push_back(measure(step_shape(name), count, repetitions, world));
  fmt::print("{}\n", report.dump(2));
  return 0;
}

}  // namespace
}  // namespace vrwkv::bench

int main(int argc, char** argv) {
  const vrwkv::mpi::Environment environment(&argc, &argv);
  try {
    vrwkv::flush_denormals_to_zero();
    return vrwkv::bench::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_trainer_step: {}\n", error.what());
    return 1;
  }
}
