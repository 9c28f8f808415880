// SPDX-License-Identifier: Apache-2.0
#include "common/error.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels::cuda {
namespace {

[[noreturn]] void refuse() {
  throw NotBuiltError(
      "wkv7: this build has no CUDA kernels. Configure with -DVRWKV_WITH_CUDA=ON, or keep tensors on the "
      "CPU.");
}

}  // namespace

void wkv7_forward(const Wkv7Inputs&, const Wkv7Outputs&, const Wkv7Kept&, void*) { refuse(); }

void wkv7_backward(const Wkv7Inputs&, const Wkv7Kept&, const Wkv7OutputGradients&, const Wkv7InputGradients&,
                   void*) {
  refuse();
}

}  // namespace vrwkv::kernels::cuda
