// SPDX-License-Identifier: Apache-2.0
#include "trainer/load_model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <map>
#include <string>
#include <vector>

#include "common/error.h"
#include "trainer/checkpoint/checkpoint.h"

namespace vrwkv::trainer {

void load_model_parameters(model::VisualRwkv& model, const std::filesystem::path& path) {
  const std::filesystem::path checkpoint = checkpoint::resolve(path);
  std::map<std::string, at::Tensor> stored = checkpoint::load_parameters(checkpoint);
  std::vector<std::string> problems;
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.parameters()) {
    const auto found = stored.find(name);
    if (found == stored.end()) {
      problems.push_back(name + " is missing");
      continue;
    }
    if (found->second.sizes() != tensor.sizes())
      problems.push_back(fmt::format("{} is ({}) instead of ({})", name,
                                     fmt::join(found->second.sizes(), ", "),
                                     fmt::join(tensor.sizes(), ", ")));
    else
      tensor.copy_(found->second);
    stored.erase(found);
  }
  for (const auto& [name, tensor] : stored) problems.push_back(name + " is surplus");
  if (!problems.empty())
    throw ConfigError(
        "{}: does not fit the configured model: {}. Make [model] and [vision] those of the checkpoint.",
        checkpoint.string(), fmt::join(problems, "; "));
}

LoadedModel load_model(const std::filesystem::path& path) {
  const std::filesystem::path checkpoint = checkpoint::resolve(path);
  const auto manifest = checkpoint::describe(checkpoint);
  TrainerConfig config =
      read_trainer_config(TomlDocument::parse(manifest.state.config_toml, checkpoint / "config.toml"));
  model::VisualRwkv model = model::VisualRwkv::uninitialized(config.model);
  load_model_parameters(model, checkpoint);
  return {std::move(config), checkpoint, std::move(model)};
}

}  // namespace vrwkv::trainer
