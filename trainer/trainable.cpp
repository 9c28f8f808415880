// SPDX-License-Identifier: Apache-2.0
#include "trainer/trainable.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>

namespace vrwkv::trainer {

TrainableParts TrainableParts::of_stage(std::int64_t stage) {
  TrainableParts parts;
  parts.projector = true;
  parts.blocks = parts.head = stage == 2;
  return parts;
}

TrainableParts TrainableParts::of_names(const std::vector<std::string>& names) {
  const auto has = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  return {has("projector"), has("blocks"), has("head"), has("embedding")};
}

std::vector<std::string> TrainableParts::names() const {
  std::vector<std::string> result;
  if (projector) result.emplace_back("projector");
  if (blocks) result.emplace_back("blocks");
  if (head) result.emplace_back("head");
  if (embedding) result.emplace_back("embedding");
  return result;
}

bool TrainableParts::includes(const std::string& parameter) const {
  if (parameter.starts_with("proj.")) return projector;
  if (parameter.starts_with("rwkv.emb.")) return embedding;
  if (parameter.starts_with("rwkv.head.")) return head;
  return parameter.starts_with("rwkv.") && blocks;
}

std::vector<NamedTensor> TrainableParts::trainable(const std::vector<NamedTensor>& parameters) const {
  std::vector<NamedTensor> selected;
  for (const NamedTensor& parameter : parameters) {
    if (!includes(parameter.name)) continue;
    selected.push_back(parameter);
    selected.back().tensor.requires_grad_(true);
  }
  return selected;
}

std::vector<NamedTensor> TrainableParts::frozen(const std::vector<NamedTensor>& parameters) const {
  std::vector<NamedTensor> selected;
  std::copy_if(parameters.begin(), parameters.end(), std::back_inserter(selected),
               [&](const NamedTensor& parameter) { return !includes(parameter.name); });
  return selected;
}

}  // namespace vrwkv::trainer
