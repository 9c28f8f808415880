// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "common/error.h"
#include "data/image/image.h"
#include "data/text/conversation.h"
#include "data/text/utf8_stream.h"
#include "launcher/commands.h"
#include "launcher/ranks.h"
#include "trainer/eval/generate.h"
#include "trainer/load_model.h"
#include "trainer/vocabulary.h"

namespace vrwkv::launcher {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> settings;
  std::vector<std::string> images;
  std::string prompt;
  std::string vocabulary;
  std::int64_t max_new_tokens = 128;
  bool left_padding = false;
  std::string device = "auto";
  std::int64_t threads = 1;
};

int generate(const Options& options) {
  set_up_threads(options.threads);
  const auto compute =
      trainer::choose_compute(options.device, "auto", trainer::Machine::here(/*local_rank=*/0));
  trainer::use(compute);
  auto loaded = trainer::load_model(options.model, options.settings);
  loaded.model.move_to(compute.device, compute.type);
  loaded.model.cast_frozen();
  const auto tokenizer = data::Tokenizer::load(
      trainer::find_vocabulary(options.vocabulary.empty() ? loaded.config.data.vocabulary
                                                          : std::filesystem::path(options.vocabulary)),
      loaded.config.model.language_model.vocabulary_size);
  data::Sample sample;
  sample.tokens = data::encode_prompt(options.prompt, static_cast<std::int64_t>(options.images.size()),
                                      tokenizer, loaded.config.model.vision.tokens_per_image);
  const auto sizes = loaded.model.image_sizes();
  if (!options.images.empty() && sizes.empty())
    throw ConfigError("{}: this model has no vision encoder. Leave --image out.", options.model);
  for (const auto& file : options.images) {
    const data::Image image = data::decode_image(file, loaded.config.data.images);
    for (const std::int64_t size : sizes)
      sample.pixels[size].push_back(
          data::resize_to_square(image, size, loaded.config.data.images.resize_order));
  }
  eval::GenerateOptions generate_options;
  generate_options.max_new_tokens = options.max_new_tokens;
  generate_options.left_padding = options.left_padding || loaded.config.left_padding;
  generate_options.context_length = loaded.config.data.context_length;
  bool started = false;
  data::Utf8Stream text;  // a token may end inside a character
  generate_options.on_token = [&](std::string_view bytes) {
    // Answers begin with the space that follows "Assistant:".
    if (!started) bytes.remove_prefix(std::min(bytes.find_first_not_of(' '), bytes.size()));
    started = started || !bytes.empty();
    fmt::print("{}", text.add(bytes));
    std::fflush(stdout);
  };
  eval::generate(loaded.model, tokenizer, data::pack({sample}, sizes), generate_options);
  fmt::print("{}\n", text.finish());
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace

void add_generate(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("generate", "Answer one question about images, streamed.");
  command->add_option("--model", options->model, kModelHelp)->required();
  command->add_option("--set", options->settings, kModelSetHelp);
  command->add_option("--image", options->images, "Image file (repeatable)");
  command->add_option("--prompt", options->prompt, "The question")->required();
  command->add_option("--vocabulary", options->vocabulary, "World vocabulary (default: beside the program)");
  command->add_option("--max-new-tokens", options->max_new_tokens, "Longest answer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--left-padding", options->left_padding, kLeftPaddingHelp);
  command->add_option("--device", options->device, kDeviceHelp)
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  command->add_option("--threads", options->threads, "Threads")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->footer(
      "Example: vrwkv-dist generate --model runs/quickstart-stage1 --image card.jpg --prompt \"Describe the "
      "image concisely.\"");
  command->callback([options, &run] { run = [options] { return generate(*options); }; });
}

}  // namespace vrwkv::launcher
