// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm_shift_mix/norm_shift_mix_reference.h"

#include <ATen/ATen.h>

namespace vrwkv::kernels {

NormShiftMix norm_shift_mix_reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                      double epsilon, const std::vector<at::Tensor>& mixes,
                                      const at::Tensor& sequence_starts, const at::Tensor& previous) {
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kDouble); };
  const std::int64_t tokens = x.size(0), channels = x.size(1), sequences = sequence_starts.numel();
  const at::Tensor starts = sequence_starts.to(x.device());
  const at::Tensor n =
      at::layer_norm(wide(x), {channels}, wide(weight).flatten(), wide(bias).flatten(), epsilon);
  const at::Tensor before =
      previous.defined() ? wide(previous) : at::zeros({sequences, channels}, n.options());
  const at::Tensor shifted = n.roll(1, 0).index_copy(0, starts, before);
  std::vector<at::Tensor> mixed;
  for (const at::Tensor& mix : mixes) mixed.push_back(n + (shifted - n) * wide(mix).flatten());
  // A sequence ends where the next begins; the last one with the tokens.
  const at::Tensor ends =
      starts.roll(-1).index_fill(0, at::full({1}, sequences - 1, starts.options()), tokens);
  return {.mixed = at::stack(mixed), .last = n.detach().index_select(0, ends - 1), .x = wide(x).clone()};
}

}  // namespace vrwkv::kernels
