// SPDX-License-Identifier: Apache-2.0
#include "tests/support/traffic_ledger.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace vrwkv::test {
namespace {

/// One call under way. LibTorch tells of calls inside calls; the innermost one moves the bytes.
struct Frame : at::ObserverContext {
  Frame(bool is_whole, std::vector<at::Tensor> given) : whole(is_whole), inputs(std::move(given)) {}
  const bool whole;
  const std::vector<at::Tensor> inputs;  // LibTorch forgets them before a call ends
  bool holds_counted_calls = false;
};

thread_local std::vector<Frame*> t_calls;
thread_local std::map<std::string, Traffic>* t_book = nullptr;

bool is_ours(const std::string& name) { return name.starts_with("vrwkv::"); }

bool is_product(const std::string& name) {
  static const std::set<std::string> kProducts = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm",
                                                  "vrwkv::fp32_product"};
  return kProducts.contains(name);
}

/// Counts as it is told of; calls inside it are its own business.
bool is_whole(const std::string& name) { return is_ours(name) || is_product(name) || name == "aten::sum"; }

/// Memory without values, and metadata.
bool is_free(const std::string& name) {
  static const std::set<std::string> kFree = {"aten::empty",         "aten::empty_like",
                                              "aten::empty_strided", "aten::new_empty",
                                              "aten::detach",        "aten::set_data",
                                              "aten::resize_",       "detach",
                                              "aten::item",          "aten::_local_scalar_dense",
                                              "aten::is_nonzero"};
  return kFree.contains(name);
}

std::vector<at::Tensor> tensors_of(const auto& values) {
  std::vector<at::Tensor> tensors;
  for (const c10::IValue& value : values) {
    if (value.isTensor() && value.toTensor().defined()) tensors.push_back(value.toTensor());
    if (value.isTensorList())
      for (const at::Tensor& tensor : value.toTensorVector())
        if (tensor.defined()) tensors.push_back(tensor);
  }
  return tensors;
}

/// What lies in memory: an expanded dimension is read once.
std::int64_t bytes_of(const at::Tensor& tensor) {
  std::int64_t elements = 1;
  for (std::int64_t d = 0; d < tensor.dim(); ++d)
    if (tensor.stride(d) != 0) elements *= tensor.size(d);
  return elements * static_cast<std::int64_t>(tensor.element_size());
}

std::int64_t bytes_of(const std::vector<at::Tensor>& tensors) {
  std::int64_t bytes = 0;
  std::set<const void*> seen;
  for (const at::Tensor& tensor : tensors)
    if (seen.insert(tensor.const_data_ptr()).second) bytes += bytes_of(tensor);
  return bytes;
}

/// Operators that overwrite their first argument without reading it.
bool only_writes(const std::string& name) {
  return name == "aten::copy_" || name == "aten::fill_" || name == "aten::zero_";
}

bool share_memory(const at::Tensor& one, const at::Tensor& other) {
  return one.has_storage() && other.has_storage() && one.storage().is_alias_of(other.storage());
}

/// An operator that gives a part of what it was given, as it lies there.
bool is_view(const std::string& name, const std::vector<at::Tensor>& inputs,
             const std::vector<at::Tensor>& outputs) {
  if (name.ends_with('_') || name.ends_with(".out") || is_whole(name)) return false;
  for (const at::Tensor& output : outputs)
    for (const at::Tensor& input : inputs)
      if (share_memory(output, input)) return true;
  return false;
}

std::int64_t flops_of(const std::string& name, const std::vector<at::Tensor>& inputs) {
  const std::size_t first = name.starts_with("aten::addmm") ? 1 : 0;  // whose first argument is added
  const at::Tensor& left = inputs[first];
  const at::Tensor& right = inputs[first + 1];
  return 2 * left.numel() * right.size(-1);
}

std::unique_ptr<at::ObserverContext> start(const at::RecordFunction& call) {
  auto frame = std::make_unique<Frame>(is_whole(call.name()), tensors_of(call.inputs()));
  t_calls.push_back(frame.get());
  return frame;
}

void end(const at::RecordFunction& call, at::ObserverContext* /*frame*/) {
  const Frame* frame = t_calls.back();
  t_calls.pop_back();
  const std::string name = call.name();
  const bool is_inside =
      std::any_of(t_calls.begin(), t_calls.end(), [](const Frame* outer) { return outer->whole; });
  if (is_inside || is_free(name) || (frame->holds_counted_calls && !frame->whole)) return;
  const std::vector<at::Tensor>& inputs = frame->inputs;
  const std::vector<at::Tensor> outputs = tensors_of(call.outputs());
  if (outputs.empty() || is_view(name, inputs, outputs)) return;
  for (Frame* outer : t_calls) outer->holds_counted_calls = true;
  Traffic& traffic = (*t_book)[name];
  traffic.bytes += bytes_of(inputs) + bytes_of(outputs) - (only_writes(name) ? bytes_of(inputs.front()) : 0);
  if (is_product(name)) traffic.flops += flops_of(name, inputs);
  ++traffic.calls;
  // LibTorch copies the summand to where the sum goes, and the product is added to that.
  if (name == "aten::addmm") (*t_book)["copy of a summand"].bytes += bytes_of(inputs[0]) + bytes_of(outputs);
}

}  // namespace

TrafficLedger::TrafficLedger() {
  t_book = &by_operator_;
  callback_ = at::addThreadLocalCallback(at::RecordFunctionCallback(start, end)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
}

TrafficLedger::~TrafficLedger() {
  at::removeCallback(callback_);
  t_book = nullptr;
}

template <class Includes>
Traffic TrafficLedger::sum(const Includes& includes) const {
  Traffic total;
  for (const auto& [name, traffic] : by_operator_) {
    if (!includes(name)) continue;
    total.bytes += traffic.bytes;
    total.flops += traffic.flops;
    total.calls += traffic.calls;
  }
  return total;
}

Traffic TrafficLedger::matrix_products() const { return sum(is_product); }

Traffic TrafficLedger::recurrence() const {
  return sum([](const std::string& name) { return name.starts_with("vrwkv::wkv"); });
}

Traffic TrafficLedger::elementwise() const {
  return sum([](const std::string& name) { return !is_product(name) && !name.starts_with("vrwkv::wkv"); });
}

}  // namespace vrwkv::test
