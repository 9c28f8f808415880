// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <memory>
#include <string>
#include <vector>

#include "common/error.h"
#include "launcher/commands.h"
#include "launcher/ranks.h"
#include "sharding/mpi_collectives.h"
#include "trainer/forward.h"
#include "trainer/load_model.h"
#include "trainer/vocabulary.h"

namespace vrwkv::launcher {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> settings;
  std::string samples;
  std::string image_folder;
  std::string output;
  std::string vocabulary;
  std::string l2wrap;
  std::string device = "auto";
  std::string dtype = "auto";
  std::int64_t stage = 0;
  std::int64_t threads = 1;
  bool gradients = false;
  bool features = false;
  bool no_logits = false;
};

int forward(const Options& options, const mpi::Communicator& world) {
  if (world.size() > 1)
    throw ConfigError("forward: started on {} ranks (it is one process's work). Start it without mpirun.",
                      world.size());
  set_up_threads(options.threads);
  const trainer::Compute compute = choose_compute(options.device, options.dtype, world);
  auto loaded = trainer::load_model(options.model, options.settings);
  loaded.model.move_to(compute.device, compute.type);
  if (!options.gradients) loaded.model.cast_frozen();  // nothing learns
  const auto& config = loaded.config;
  const auto tokenizer = data::Tokenizer::load(
      trainer::find_vocabulary(options.vocabulary.empty() ? config.data.vocabulary
                                                          : std::filesystem::path(options.vocabulary)),
      config.model.language_model.vocabulary_size);
  const auto samples = data::SampleFile::open(options.samples);
  const data::SampleReader reader(
      tokenizer, {data::ImagePlaces{options.image_folder}},
      config.data.reader_options(loaded.model.image_sizes(), config.model.vision.tokens_per_image));
  trainer::ForwardOptions forward_options;
  forward_options.trainable =
      options.stage == 0 ? config.train.trainable : trainer::TrainableParts::of_stage(options.stage);
  forward_options.l2wrap = options.l2wrap.empty() ? config.train.l2wrap : trainer::l2wrap_of(options.l2wrap);
  forward_options.gradients = options.gradients;
  forward_options.logits = !options.no_logits;
  forward_options.features = options.features;
  sharding::MpiCollectives alone(world);
  trainer::write_forward(loaded.model, reader, samples, forward_options, alone, options.output);
  fmt::print("{}: {} samples through {}\n", options.output, samples.size(), loaded.checkpoint.string());
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace

void add_forward(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "forward", "Write logits, losses, gradients and features of samples, for parity work.");
  command->add_option("--model", options->model, kModelHelp)->required();
  command->add_option("--set", options->settings, kModelSetHelp);
  command->add_option("--samples", options->samples, "LLaVA JSON")->required();
  command->add_option("--image-folder", options->image_folder, "Their images");
  command->add_option("--output", options->output, "HDF5 file; replaced when the new one is whole")
      ->required();
  command->add_flag("--gradients", options->gradients,
                    "Also the gradient of every parameter that the stage trains");
  command
      ->add_option("--stage", options->stage,
                   "1 (projector) or 2 (all but embedding and encoders); default: as trained")
      ->check(CLI::Range(1, 2));
  command->add_flag("--features", options->features, "Also resized pixels and the encoders' features");
  command->add_flag("--no-logits", options->no_logits, "Leave the logits out");
  command->add_option("--l2wrap", options->l2wrap, "Logit penalty; default: as trained")
      ->check(CLI::IsMember({"supervised", "all", "off"}));
  command->add_option("--device", options->device, kDeviceHelp)
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  command->add_option("--dtype", options->dtype, "Compute type; auto: bf16 on a GPU, fp32 on a CPU")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  command->add_option("--vocabulary", options->vocabulary, "World vocabulary (default: beside the program)");
  command->add_option("--threads", options->threads, "Threads")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->footer(
      "Example: vrwkv-dist forward --model runs/quickstart-stage2 --samples mix.json --image-folder images "
      "--output forward.h5 --gradients");
  command->callback([options, &run] {
    run = [options] {
      return run_on_ranks([options](mpi::Communicator& world) { return forward(*options, world); });
    };
  });
}

}  // namespace vrwkv::launcher
