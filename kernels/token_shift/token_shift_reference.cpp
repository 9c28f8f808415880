// SPDX-License-Identifier: Apache-2.0
#include "kernels/token_shift/token_shift_reference.h"

#include <ATen/ATen.h>

#include <vector>

namespace vrwkv::kernels {

at::Tensor token_shift_reference(const at::Tensor& x, const at::Tensor& sequence_starts,
                                 const at::Tensor& previous) {
  std::vector<at::Tensor> shifted;
  std::int64_t sequence = 0;
  for (std::int64_t t = 0; t < x.size(1); ++t) {
    const bool starts =
        sequence < sequence_starts.numel() && sequence_starts[sequence].item<std::int64_t>() == t;
    if (!starts) {
      shifted.push_back(x.select(1, t - 1));
    } else if (previous.defined()) {
      shifted.push_back(previous.select(1, sequence));
    } else {
      shifted.push_back(at::zeros_like(x.select(1, t)));
    }
    if (starts) ++sequence;
  }
  return at::stack(shifted, 1);
}

}  // namespace vrwkv::kernels
