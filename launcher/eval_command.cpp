// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/file_system.h"
#include "common/mpi/all_or_none.h"
#include "launcher/commands.h"
#include "launcher/ranks.h"
#include "trainer/eval/evaluate.h"
#include "trainer/load_model.h"
#include "trainer/vocabulary.h"

namespace vrwkv::launcher {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> settings;
  std::string model;
  std::string benchmark = "exact";
  std::string samples;
  std::string image_folder;
  std::string vocabulary;
  std::string output;
  eval::EvaluateOptions evaluate;
  std::int64_t examples = 3;
  bool json = false;
};

void print_json(const std::vector<eval::KindScore>& scores, const Options& options) {
  nlohmann::ordered_json kinds = nlohmann::ordered_json::array();
  for (const auto& score : scores)
    kinds.push_back({{"kind", score.kind},
                     {"questions", score.questions},
                     {"correct", score.correct},
                     {"accuracy", score.accuracy()},
                     {"chance", score.chance}});
  fmt::print("{}\n", nlohmann::ordered_json({{"benchmark", options.benchmark},
                                             {"blank_images", options.evaluate.blank_images},
                                             {"kinds", kinds}})
                         .dump());
}

void print_table(const std::vector<eval::KindScore>& scores, const std::vector<eval::Answer>& answers,
                 const Options& options) {
  fmt::print("{:<16} {:>9} {:>8} {:>8}{}\n", "kind", "questions", "exact", "chance",
             options.evaluate.blank_images ? "    (blanked images)" : "");
  for (const auto& score : scores)
    fmt::print("{:<16} {:>9} {:>8.3f} {:>8.3f}\n", score.kind, score.questions, score.accuracy(),
               score.chance);
  const std::size_t stride = std::max<std::size_t>(
      1, answers.size() / static_cast<std::size_t>(std::max<std::int64_t>(1, options.examples)));
  std::int64_t shown = 0;
  for (std::size_t i = 0; i < answers.size() && shown < options.examples; i += stride, ++shown) {
    const auto& answer = answers[i];
    fmt::print("  {}  {}: \"{}\" (right: \"{}\")\n", answer.image.empty() ? "(no image)" : answer.image,
               answer.kind, answer.text, answer.truth);
  }
}

int evaluate(const Options& options, const mpi::Communicator& world) {
  const auto config = mpi::all_or_none(world, "configuration", [&] {
    return trainer::read_trainer_config(TomlDocument::load(options.config, options.settings));
  });
  set_up_threads(config.run.threads_per_rank);
  const trainer::Compute compute = choose_compute(config.run.device, config.train.precision, world);
  const auto loaded = mpi::all_or_none(world, "model", [&] {
    auto model = trainer::load_model(options.model.empty() ? config.run.directory
                                                           : std::filesystem::path(options.model));
    model.model.move_to(compute.device, compute.type);
    model.model.cast_frozen();
    return model;
  });
  const auto tokenizer = mpi::all_or_none(world, "vocabulary", [&] {
    return data::Tokenizer::load(
        trainer::find_vocabulary(options.vocabulary.empty() ? config.data.vocabulary
                                                            : std::filesystem::path(options.vocabulary)),
        loaded.config.model.language_model.vocabulary_size);
  });
  const auto questions = mpi::all_or_none(world, "questions", [&] {
    const std::filesystem::path file =
        options.samples.empty() ? config.data.eval_file : std::filesystem::path(options.samples);
    if (file.empty())
      throw ConfigError(
          "{}: key 'data.eval_file': is empty and --samples was not given (there is nothing to ask).",
          options.config);
    return data::SampleFile::open(file);
  });
  const data::SampleReader reader(
      tokenizer,
      {options.image_folder.empty() ? config.data.eval_image_folder
                                    : data::ImagePlaces{options.image_folder}},
      loaded.config.data.reader_options(loaded.model.image_sizes(),
                                        loaded.config.model.vision.tokens_per_image));
  eval::EvaluateOptions evaluate_options = options.evaluate;
  evaluate_options.left_padding = options.evaluate.left_padding || loaded.config.left_padding;
  evaluate_options.context_length = loaded.config.data.context_length;
  const auto answers = eval::evaluate(loaded.model, reader, questions, evaluate_options, world);
  mpi::all_or_none(world, "answers", [&] {
    if (world.rank() != 0) return;
    if (!options.output.empty()) {
      std::string lines;
      for (const auto& answer : answers) lines += eval::to_json(answer, loaded.checkpoint.string()) + "\n";
      write_file_atomically(options.output, lines);
    }
    const auto scores = eval::score(answers);
    if (options.json) {
      print_json(scores, options);
    } else {
      print_table(scores, answers, options);
    }
  });
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace

void add_eval(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("eval", "Ask held-out questions, distributed over the ranks, and score them.");
  command->add_option("CONFIG", options->config, "Configuration file (TOML)")->required();
  command->add_option("--set", options->settings, "Override one key: table.key=value (repeatable)");
  command->add_option("--model", options->model,
                      "Run directory, checkpoint or published weights (default: [run] directory)");
  command->add_option("--benchmark", options->benchmark, "exact: the answer equals the first gpt turn")
      ->check(CLI::IsMember({"exact"}))
      ->capture_default_str();
  command->add_option("--samples", options->samples, "LLaVA JSON of questions (default: [data] eval_file)");
  command->add_option("--image-folder", options->image_folder,
                      "Their images (default: [data] eval_image_folder)");
  command->add_option("--vocabulary", options->vocabulary, "World vocabulary (default: beside the program)");
  command->add_option("--output", options->output, "Write one JSON object an answer to this file");
  command->add_option("--max-new-tokens", options->evaluate.max_new_tokens, "Longest answer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--left-padding", options->evaluate.left_padding, kLeftPaddingHelp);
  command->add_option("--limit", options->evaluate.limit, "Ask only the first N questions")
      ->check(CLI::PositiveNumber);
  command->add_option("--examples", options->examples, "Answers to show")->check(CLI::NonNegativeNumber);
  command->add_flag("--blank-images", options->evaluate.blank_images,
                    "Replace every image by grey: should score chance");
  command->add_flag("--json", options->json, "Print JSON instead of a table");
  command->footer(
      "Example: mpirun -n 2 vrwkv-dist eval configs/quickstart-stage2.toml --output answers.jsonl");
  command->callback([options, &run] {
    run = [options] {
      return run_on_ranks([options](mpi::Communicator& world) { return evaluate(*options, world); });
    };
  });
}

}  // namespace vrwkv::launcher
