// SPDX-License-Identifier: Apache-2.0
#include "trainer/checkpoint/tensor_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace vrwkv::checkpoint {
namespace {

std::map<std::string, const TensorEntry*> by_name(const std::vector<TensorEntry>& tensors) {
  std::map<std::string, const TensorEntry*> result;
  for (const TensorEntry& tensor : tensors) result.emplace(tensor.name, &tensor);
  return result;
}

void append_list(std::string& text, const char* title, const std::vector<std::string>& items) {
  if (items.empty()) return;
  text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", title, fmt::join(items, ", "));
}

}  // namespace

std::vector<TensorEntry> tensor_table(const sharding::FlatParameters& parameters,
                                      const std::vector<NamedTensor>& frozen) {
  std::vector<TensorEntry> table;
  for (const auto& entry : parameters.entries())
    table.push_back({.name = entry.name,
                     .shape = entry.shape,
                     .numel = entry.numel,
                     .trainable = true,
                     .offset = entry.offset});
  for (const auto& [name, tensor] : frozen)
    table.push_back({.name = name, .shape = tensor.sizes().vec(), .numel = tensor.numel()});
  return table;
}

std::string describe_differences(const std::vector<TensorEntry>& stored,
                                 const std::vector<TensorEntry>& wanted) {
  const auto stored_by_name = by_name(stored);
  const auto wanted_by_name = by_name(wanted);
  std::vector<std::string> missing;
  std::vector<std::string> surplus;
  std::vector<std::string> misshapen;
  std::vector<std::string> roles;
  for (const auto& [name, tensor] : wanted_by_name) {
    const auto found = stored_by_name.find(name);
    if (found == stored_by_name.end()) {
      missing.push_back(name);
    } else if (found->second->shape != tensor->shape) {
      misshapen.push_back(fmt::format("{} is ({}), not ({})", name, fmt::join(found->second->shape, ", "),
                                      fmt::join(tensor->shape, ", ")));
    } else if (found->second->trainable != tensor->trainable) {
      roles.push_back(fmt::format("{} is {}", name, found->second->trainable ? "trainable" : "frozen"));
    }
  }
  for (const auto& [name, tensor] : stored_by_name)
    if (!wanted_by_name.contains(name)) surplus.push_back(name);
  std::string text;
  append_list(text, "missing", missing);
  append_list(text, "surplus", surplus);
  append_list(text, "other shape", misshapen);
  append_list(text, "other role", roles);
  return text;
}

}  // namespace vrwkv::checkpoint
