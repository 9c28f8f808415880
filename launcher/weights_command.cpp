// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <memory>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/version.h"
#include "launcher/commands.h"
#include "launcher/ranks.h"
#include "trainer/export_weights.h"
#include "trainer/import_weights.h"

namespace vrwkv::launcher {
namespace {

using tensor_file::OutputType;
using trainer::ExportParts;

struct ImportOptions {
  std::vector<std::string> files;
  std::vector<std::string> settings;
  std::string output;
  std::uint64_t seed = 0;
};

int import_files(const ImportOptions& options, const mpi::Communicator& world) {
  if (world.size() > 1)
    throw ConfigError(
        "checkpoint import: started on {} ranks (it is one process's work). Start it without mpirun.",
        world.size());
  const auto report = trainer::import_weights({options.files.begin(), options.files.end()}, options.settings,
                                              options.seed, options.output, world);
  fmt::print("{}{}\n{}", report.model_toml,
             report.new_projector ? "\n# The projector is new: random, from --seed.\n" : "\n",
             report.checkpoint.string() + "\n");
  return static_cast<int>(ExitCode::kDone);
}

struct ExportOptions {
  std::string source;
  std::string output;
  std::string parts = "all";
  std::string dtype;
};

ExportParts parts_of(const std::string& name) {
  if (name == "split") return ExportParts::kSplit;
  if (name == "rwkv") return ExportParts::kLanguageModel;
  return name == "projector" ? ExportParts::kProjector : ExportParts::kAll;
}

OutputType type_of(const ExportOptions& options) {
  // The original's split files are fp16, its checkpoints bf16.
  const std::string name = !options.dtype.empty()     ? options.dtype
                           : options.parts == "split" ? "fp16"
                                                      : "bf16";
  if (name == "fp32") return OutputType::kFloat32;
  return name == "fp16" ? OutputType::kFloat16 : OutputType::kBFloat16;
}

int export_files(const ExportOptions& options) {
  const bool published = trainer::is_published_file(options.source);
  const auto source = published ? trainer::open_published_weights({options.source})
                                : trainer::open_checkpoint_weights(options.source);
  const auto written =
      trainer::export_weights(source, parts_of(options.parts), type_of(options), options.output,
                              {{"format", "pt"},
                               {"model", "VisualRWKV-7"},
                               {"source", source.where},
                               {"writer", std::string("vrwkv-dist ") + kVersion}});
  for (const auto& path : written)
    fmt::print("{}: {} bytes\n", path.string(), std::filesystem::file_size(path));
  return static_cast<int>(ExitCode::kDone);
}

void add_import(CLI::App& parent, Run& run) {
  auto options = std::make_shared<ImportOptions>();
  CLI::App* command = parent.add_subcommand(
      "import", "Make a checkpoint out of published weights (.pth, .bin, .safetensors).");
  command
      ->add_option(
          "FILE", options->files,
          "Files that are a model together: one VisualRWKV, or RWKV-7 with any of DINOv2, SigLIP, SAM")
      ->required();
  command->add_option("--output", options->output, "Folder for the checkpoint")->required();
  command->add_option("--set", options->settings, kModelSetHelp);
  command->add_option("--seed", options->seed, "Of the projector, when no file holds one")
      ->capture_default_str();
  command->footer(
      "Example: vrwkv-dist checkpoint import RWKV-x070-World-0.1B-v2.8-20241210-ctx4096.pth "
      "dinov2/pytorch_model.bin siglip/open_clip_pytorch_model.bin sam_vit_b_01ec64.pth --output imported");
  command->callback([options, &run] {
    run = [options] {
      return run_on_ranks([options](mpi::Communicator& world) { return import_files(*options, world); });
    };
  });
}

void add_export(CLI::App& parent, Run& run) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command = parent.add_subcommand(
      "export", "Write a checkpoint's weights as files that the original's tools read.");
  command->add_option("PATH", options->source, kModelHelp)->required();
  command->add_option("--output", options->output, "File; .pth, .pt, .bin or .safetensors says the format")
      ->required();
  command
      ->add_option(
          "--parts", options->parts,
          "all: one file, as the original saves; split: NAME_rwkv and NAME_visual, as its export.py; rwkv: "
          "the language model alone; projector: proj. alone")
      ->check(CLI::IsMember({"all", "split", "rwkv", "projector"}))
      ->capture_default_str();
  command->add_option("--dtype", options->dtype, "Default: bf16; with split fp16")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}));
  command->footer("Example: vrwkv-dist checkpoint export runs/quickstart-stage2 --output rwkv-14.pth");
  command->callback([options, &run] { run = [options] { return export_files(*options); }; });
}

}  // namespace

void add_weights(CLI::App& checkpoint, Run& run) {
  add_import(checkpoint, run);
  add_export(checkpoint, run);
}

}  // namespace vrwkv::launcher
