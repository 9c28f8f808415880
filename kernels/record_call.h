// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/record_function.h>

#include <vector>

namespace vrwkv::kernels {

/// While it lives, one call of an operator is seen by whoever observes LibTorch's
/// (at::addThreadLocalCallback, a profiler, the tests' ledger of bytes). Costs next to nothing where nobody
/// does.
class RecordCall {
 public:
  /// @param name    lives as long as the process: "vrwkv::relu_squared".
  /// @param inputs  the tensors that the call reads; undefined ones are left out.
  RecordCall(const char* name, at::ArrayRef<at::Tensor> inputs) : record_(at::RecordScope::FUNCTION) {
    if (!record_.isActive()) return;
    const std::vector<c10::IValue> values = defined(inputs);
    record_.before(name, c10::ArrayRef<const c10::IValue>(values.data(), values.size()));
  }

  /// The tensors that it writes, told before it ends; undefined ones are left out.
  void set_outputs(at::ArrayRef<at::Tensor> outputs) {
    if (record_.needsOutputs()) record_.setOutputs(defined(outputs));
  }

 private:
  static std::vector<c10::IValue> defined(at::ArrayRef<at::Tensor> tensors) {
    std::vector<c10::IValue> values;
    for (const at::Tensor& tensor : tensors)
      if (tensor.defined()) values.emplace_back(tensor);
    return values;
  }

  at::RecordFunction record_;
};

}  // namespace vrwkv::kernels
