// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "tests/support/gpu_test.h"

namespace vrwkv::test {

/// A test of a kernel on CUDA tensors.
class CudaTest : public OnGpu<> {
 protected:
  /// LibTorch's products may use TF32, which no tolerance expects.
  void set_up_on_gpu() override { at::globalContext().setFloat32MatmulPrecision("highest"); }
};

inline void move_to_gpu(std::vector<at::Tensor>& tensors) {
  for (at::Tensor& tensor : tensors)
    if (tensor.defined()) tensor = tensor.cuda();
}

inline std::vector<at::Tensor> on_cpu(std::vector<at::Tensor> tensors) {
  for (at::Tensor& tensor : tensors) tensor = tensor.cpu();
  return tensors;
}

}  // namespace vrwkv::test
