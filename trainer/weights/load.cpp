// SPDX-License-Identifier: Apache-2.0
#include "trainer/weights/load.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace vrwkv::weights {
namespace {

std::int64_t side_of(const at::Tensor& positions) {
  return std::lround(std::sqrt(static_cast<double>(positions.size(1))));
}

bool fits(const Weight& weight, const at::Tensor& parameter) {
  if (parameter.sizes() == at::IntArrayRef(weight.shape)) return true;
  return weight.is_position_grid && parameter.dim() == 3 && weight.shape[2] == parameter.size(2);
}

bool holds_projector(const WeightTable& table) {
  return std::any_of(table.begin(), table.end(),
                     [](const auto& entry) { return entry.first.starts_with("proj."); });
}

void append_list(std::string& text, const char* title, const std::vector<std::string>& items) {
  if (!items.empty())
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", title, fmt::join(items, ", "));
}

}  // namespace

std::string describe_misfits(const WeightTable& table, const model::ModelConfig& config,
                             bool projector_is_optional) {
  std::vector<std::string> missing, surplus, misshapen, not_floating;
  std::set<std::string> wanted;
  const bool new_projector = projector_is_optional && !holds_projector(table);
  for (const auto& [name, parameter] : model::VisualRwkv::shapes(config)) {
    wanted.insert(name);
    const auto found = table.find(name);
    if (found == table.end()) {
      const bool optional =
          model::VisualRwkv::is_unused(config, name) || (new_projector && name.starts_with("proj."));
      if (!optional) missing.push_back(name);
    } else if (!fits(found->second, parameter)) {
      misshapen.push_back(fmt::format("{} is ({}), not ({})", name, fmt::join(found->second.shape, ", "),
                                      fmt::join(parameter.sizes(), ", ")));
    }
  }
  for (const auto& [name, weight] : table) {
    if (!wanted.contains(name)) {
      surplus.push_back(name);
    } else if (!weight.is_floating) {
      not_floating.push_back(name);
    }
  }
  std::string text;
  append_list(text, "missing", missing);
  append_list(text, "surplus", surplus);
  append_list(text, "other shape", misshapen);
  append_list(text, "not floating-point", not_floating);
  return text;
}

void load(const WeightTable& table, const model::VisualRwkv& model) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, parameter] : model.parameters()) {
    const auto found = table.find(name);
    if (found == table.end()) {
      if (model::VisualRwkv::is_unused(model.config(), name)) parameter.zero_();
      continue;
    }
    const Weight& weight = found->second;
    if (parameter.sizes() == at::IntArrayRef(weight.shape)) {
      parameter.copy_(weight.all());
    } else {
      parameter.copy_(resample_positions(weight.all(), side_of(parameter)));
    }
    weight.release();
  }
}

}  // namespace vrwkv::weights
