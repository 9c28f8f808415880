// SPDX-License-Identifier: Apache-2.0
// Training steps, forward, eval and generate on a GPU, compared with the CPU.
#include <ATen/ATen.h>

#include <map>

#include "common/hdf5/file.h"
#include "data/text/sample_file.h"
#include "sharding/mpi_collectives.h"
#include "tests/support/gpu_test.h"
#include "tests/trainer/model/fixture.h"
#include "tests/trainer/trainer_run.h"
#include "trainer/eval/evaluate.h"
#include "trainer/eval/generate.h"
#include "trainer/forward.h"

namespace vrwkv::trainer {
namespace {

namespace fs = std::filesystem;
using model::test::relative_rms;
using test::until;

/// Ranks share one GPU.
class GpuRun : public test::OnGpu<test::TrainerRunTest> {
 protected:
  void set_up_on_gpu() override { use(gpu_); }

  const Compute cpu_;
  void expect_same_bits_however_run(const std::vector<std::string>& settings, const Compute& compute) const {
    train_alone("alone", settings, until(3), compute);
    train("together", settings, until(3), compute);
    expect_equal_runs("alone", "together");
    train("resumed", settings, until(2), compute);
    train("resumed", settings, until(3), compute);
    expect_equal_runs("alone", "resumed");
  }

  const Compute gpu_{.device = {c10::kCUDA, 0}, .type = c10::kFloat};
  const Compute gpu_bf16_{.device = {c10::kCUDA, 0}, .type = c10::kBFloat16};
  /// With which bf16 is computed in chunks.
  const std::vector<std::string> heads_of_64_ = {"model.head_size=64"};
};

TEST_F(GpuRun, TakesTheCpusSteps) {
  train("cpu", {}, until(2), cpu_);
  train("gpu", {}, until(2), gpu_);
  if (world_.rank() != 0) return;
  const auto on_cpu = test::metrics_of(run_folder("cpu")), on_gpu = test::metrics_of(run_folder("gpu"));
  ASSERT_EQ(on_gpu.size(), 2U);
  for (std::size_t step = 0; step < 2; ++step) {
    for (const char* key : {"loss", "grad_norm"}) {
      const double expected = on_cpu[step][key];
      EXPECT_NEAR(on_gpu[step][key].get<double>(), expected, 1e-4 * expected) << key << ", " << step;
    }
  }
  const auto expected = checkpoint::load_parameters(checkpoint::resolve(run_folder("cpu")));
  // AdamW's first steps have the size of the learning rate whatever the gradient's: where that is next to
  // nothing, its sign is a matter of rounding.
  for (const auto& [name, tensor] : checkpoint::load_parameters(checkpoint::resolve(run_folder("gpu"))))
    EXPECT_LE(relative_rms(tensor, expected.at(name)), 1e-2) << name;
}

// In six steps bf16 on a CPU comes as far as 8e-3 from its fp32.
TEST_F(GpuRun, LearnsInChunksAsOnACpu) {
  train("cpu", heads_of_64_, until(6), cpu_);
  train("gpu", heads_of_64_, until(6), gpu_bf16_);
  if (world_.rank() != 0) return;
  const auto on_cpu = test::metrics_of(run_folder("cpu")), on_gpu = test::metrics_of(run_folder("gpu"));
  ASSERT_EQ(on_gpu.size(), 6U);
  for (std::size_t step = 0; step < 6; ++step) {
    const double expected = on_cpu[step]["loss"];
    EXPECT_NEAR(on_gpu[step]["loss"].get<double>(), expected, 2e-2 * expected) << step;
  }
}

TEST_F(GpuRun, HasTheBitsOfARunOfOneRankAndOfAnInterruptedOne) { expect_same_bits_however_run({}, gpu_); }

TEST_F(GpuRun, HasThemInChunksToo) { expect_same_bits_however_run(heads_of_64_, gpu_bf16_); }

class GpuModel : public GpuRun {
 protected:
  GpuModel()
      : config_(test::tiny_run_config(folder_.path())),
        tokenizer_(data::Tokenizer::load(test::vocabulary_file(), test::kTinyVocabulary)) {}

  static model::VisualRwkv model_on(const Compute& compute) {
    model::VisualRwkv model = test::tiny_model(/*seed=*/5);
    model.move_to(compute.device, compute.type);
    return model;
  }

  /// What `forward` writes of floating-point numbers, by the names in its file.
  std::map<std::string, at::Tensor> forward_on(const Compute& compute) const {
    const fs::path output = folder_.path() / fmt::format("forward-{}.h5", compute.device.str());
    const model::VisualRwkv model = model_on(compute);
    const auto samples = data::SampleFile::open(folder_.path() / "mix.json");
    const data::SampleReader reader(tokenizer_, {{folder_.path() / "images"}},
                                    config_.data.reader_options(model.image_sizes(), test::kTokensPerImage));
    sharding::MpiCollectives alone(world_);
    ForwardOptions options;
    options.trainable = TrainableParts::of_stage(2);
    options.gradients = options.features = true;
    write_forward(model, reader, samples, options, alone, output);
    return floats_of(output, model, samples.size());
  }

  static std::map<std::string, at::Tensor> floats_of(const fs::path& path, const model::VisualRwkv& model,
                                                     std::int64_t samples) {
    std::vector<std::string> names = {"/loss"};
    for (std::int64_t i = 0; i < samples; ++i)
      for (const char* of : {"loss", "logits", "image_features"})
        names.push_back(fmt::format("/samples/{}/{}", i, of));
    for (const auto& parameter : model.parameters()) names.push_back("/gradients/" + parameter.name);
    const hdf5::File file = hdf5::File::open(path);
    std::map<std::string, at::Tensor> floats;
    for (const std::string& name : names)
      if (file.has(name)) floats[name] = at::tensor(file.read_floats(name));
    return floats;
  }

  const TrainerConfig config_;
  const data::Tokenizer tokenizer_;
};

TEST_F(GpuModel, ForwardWritesWhatItWritesOnACpu) {
  if (world_.size() > 1) GTEST_SKIP() << "the work of one process";
  const auto expected = forward_on(cpu_), actual = forward_on(gpu_);
  EXPECT_GT(expected.size(), 100U);
  EXPECT_EQ(actual.size(), expected.size());
  for (const auto& [name, tensor] : expected)
    EXPECT_LE(relative_rms(actual.at(name), tensor), model::test::kGradientTolerance) << name;
}

// On all ranks: each answers its share.
TEST_F(GpuModel, EvalAnswersAsOnACpu) {
  const auto questions = data::SampleFile::open(folder_.path() / "mix.json");
  const auto answers_of = [&](const model::VisualRwkv& model) {
    const data::SampleReader reader(tokenizer_, {{folder_.path() / "images"}},
                                    config_.data.reader_options(model.image_sizes(), test::kTokensPerImage));
    std::vector<std::string> texts;
    for (const eval::Answer& answer : eval::evaluate(model, reader, questions, {.max_new_tokens = 8}, world_))
      texts.push_back(answer.text);
    return texts;
  };
  const auto expected = answers_of(model_on(cpu_));
  EXPECT_EQ(static_cast<std::int64_t>(expected.size()), questions.size());
  EXPECT_EQ(answers_of(model_on(gpu_)), expected);
}

TEST_F(GpuModel, GenerateSaysWhatItSaysOnACpu) {
  const model::VisualRwkv on_cpu = model_on(cpu_), on_gpu = model_on(gpu_);
  std::size_t tokens = 0;
  for (const std::int64_t images : {0, 1, 2}) {
    const auto prompt = test::packed({test::random_sample(images, 6, 0, static_cast<std::uint64_t>(images))});
    const auto said_by = [&](const model::VisualRwkv& model, bool recomputes) {
      std::vector<std::string> said;
      eval::generate(model, tokenizer_, prompt,
                     {.max_new_tokens = 20,
                      .left_padding = recomputes,
                      .context_length = 2048,
                      .on_token = [&](std::string_view bytes) { said.emplace_back(bytes); }});
      return said;
    };
    const auto expected = said_by(on_cpu, false);
    EXPECT_EQ(said_by(on_gpu, false), expected) << images << " images, the state carried on token by token";
    EXPECT_EQ(said_by(on_gpu, true), said_by(on_cpu, true)) << images << " images, all again for each token";
    tokens += expected.size();
  }
  EXPECT_GT(tokens, 20U) << "too little was said to show anything";
}

}  // namespace
}  // namespace vrwkv::trainer
