// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "common/error.h"
#include "launcher/commands.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/manifest.h"

namespace vrwkv::launcher {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

Json headline(const fs::path& path, const checkpoint::Manifest& manifest) {
  return {{"path", path.string()},
          {"step", manifest.state.step},
          {"world_size", manifest.world_size},
          {"bytes", manifest.bytes()}};
}

void print_line(const Json& one) {
  const auto path = one["path"].get<std::string>();
  if (one.contains("damage")) {
    fmt::print("damaged: {}  {}\n", one["damage"].get<std::string>(), path);
    return;
  }
  fmt::print("step {:>8}  {} ranks  {:>14} bytes  {}\n", one["step"].get<std::int64_t>(),
             one["world_size"].get<int>(), one["bytes"].get<std::uint64_t>(), path);
}

int list(const std::string& run, bool json) {
  const fs::path inside = fs::path(run) / "checkpoints";
  const fs::path folder = fs::is_directory(inside) ? inside : fs::path(run);
  if (!fs::is_directory(folder))
    throw ConfigError("{}: no such folder. Name a run directory or its checkpoints folder.", run);
  Json all = Json::array();
  bool damaged = false;
  for (const auto& path : checkpoint::list(folder)) {
    try {
      all.push_back(headline(path, checkpoint::describe(path)));
    } catch (const CheckpointError& error) {
      all.push_back({{"path", path.string()}, {"damage", error.what()}});
      damaged = true;
    }
  }
  if (json) {
    fmt::print("{}\n", all.dump());
  } else {
    for (const auto& one : all) print_line(one);
  }
  return static_cast<int>(damaged ? ExitCode::kCheckpointDamaged : ExitCode::kDone);
}

int inspect(const std::string& where, bool json) {
  const fs::path path = checkpoint::resolve(where);
  const auto manifest = checkpoint::describe(path);
  if (json) {
    Json out = headline(path, manifest);
    out["data_position"] = manifest.state.data_position;
    out["metrics_rows"] = manifest.state.metrics_rows;
    out["config_toml"] = manifest.state.config_toml;
    out["tensors"] = Json::array();
    for (const auto& tensor : manifest.tensors)
      out["tensors"].push_back({{"name", tensor.name},
                                {"shape", tensor.shape},
                                {"trainable", tensor.trainable},
                                {"bytes", tensor.bytes()}});
    out["files"] = Json::array();
    for (const auto& file : manifest.files)
      out["files"].push_back(
          {{"name", file.name}, {"bytes", file.bytes}, {"crc32c", fmt::format("{:08x}", file.crc32c)}});
    fmt::print("{}\n", out.dump());
    return static_cast<int>(ExitCode::kDone);
  }
  fmt::print("{}\nstep {}, written by {} ranks, {} samples taken, {} bytes\n", path.string(),
             manifest.state.step, manifest.world_size, manifest.state.data_position, manifest.bytes());
  for (const auto& tensor : manifest.tensors)
    fmt::print("  {:<9} {:<48} ({})\n", tensor.trainable ? "trainable" : "frozen", tensor.name,
               fmt::join(tensor.shape, ", "));
  for (const auto& file : manifest.files)
    fmt::print("  {:<58} {:>12} bytes  crc32c {:08x}\n", file.name, file.bytes, file.crc32c);
  return static_cast<int>(ExitCode::kDone);
}

int verify(const std::string& where, bool json) {
  const fs::path path = checkpoint::resolve(where);
  const auto manifest = checkpoint::verify(path);
  if (json) {
    fmt::print("{}\n", headline(path, manifest).dump());
  } else {
    fmt::print("{}: sound, step {}, {} files, {} bytes\n", path.string(), manifest.state.step,
               manifest.files.size(), manifest.bytes());
  }
  return static_cast<int>(ExitCode::kDone);
}

void add_one(CLI::App& parent, Run& run, const char* name, const char* help,
             int (*work)(const std::string&, bool)) {
  struct Options {
    std::string path;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand(name, help);
  command->add_option("PATH", options->path, "Run directory, its checkpoints folder, or one checkpoint")
      ->required();
  command->add_flag("--json", options->json, "Print JSON");
  command->footer(fmt::format("Example: vrwkv-dist checkpoint {} runs/quickstart-stage1", name));
  command->callback(
      [options, work, &run] { run = [options, work] { return work(options->path, options->json); }; });
}

}  // namespace

void add_checkpoint(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("checkpoint", "List, inspect, verify, import or export checkpoints.");
  command->require_subcommand(1);
  command->footer("Example: vrwkv-dist checkpoint verify runs/quickstart-stage1");
  add_one(*command, run, "list", "The checkpoints of a run, oldest first.", list);
  add_one(*command, run, "inspect", "What a checkpoint holds.", inspect);
  add_one(*command, run, "verify", "Read every byte and compare the checksums.", verify);
  add_weights(*command, run);
}

}  // namespace vrwkv::launcher
