// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/not_built.h"
#include "kernels/wkv7/wkv7_chunked.h"

namespace vrwkv::kernels::cuda {

void wkv7_chunked_forward(const Wkv7ChunkedInputs&, const Wkv7ChunkedOutputs&, const Wkv7ChunkedKept&,
                          void*) {
  throw_cuda_not_built("wkv7");
}

void wkv7_chunked_backward(const Wkv7ChunkedInputs&, const Wkv7ChunkedKept&,
                           const Wkv7ChunkedOutputGradients&, const Wkv7ChunkedInputGradients&, void*,
                           void*) {
  throw_cuda_not_built("wkv7");
}

}  // namespace vrwkv::kernels::cuda
