// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/empty.h>

#include "kernels/cpu/for_each_token_range.h"
#include "kernels/norm_shift_mix/norm_shift_mix_backend.h"
#include "kernels/norm_shift_mix/norm_shift_mix_cpu_range.h"

namespace vrwkv::kernels::cpu {
namespace {

/// Calls run(range, scratch) for every range, over ATen's threads.
template <class Element, class Run>
void for_each_range(const NormShiftMixInputs<Element>& in, std::int64_t scratch_rows, const Run& run) {
  for_each_token_range(in.tokens, [&](const TokenRange& range) {
    const at::Tensor scratch = at::empty({scratch_rows * in.channels}, at::kFloat);
    run(packed_range(in, range.index), scratch.data_ptr<float>());
  });
}

}  // namespace

template <class Element>
void norm_shift_mix_forward(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                            const NormShiftMixOutputs<Element>& outputs) {
  static const auto run = VRWKV_WIDEST(norm_shift_mix_forward_range<Element>);
  for_each_range(inputs, kNormShiftMixForwardRows, [&](const PackedRange& range, float* scratch) {
    run(inputs, kept, outputs, range, scratch);
  });
}

template <class Element>
void norm_shift_mix_backward(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                             const NormShiftMixGradients<Element>& gradients) {
  static const auto run = VRWKV_WIDEST(norm_shift_mix_backward_range<Element>);
  for_each_range(inputs, kNormShiftMixBackwardRows, [&](const PackedRange& range, float* scratch) {
    run(inputs, kept, gradients, range, scratch);
  });
}

template void norm_shift_mix_forward(const NormShiftMixInputs<float>&, const NormShiftMixKept&,
                                     const NormShiftMixOutputs<float>&);
template void norm_shift_mix_forward(const NormShiftMixInputs<Bf16>&, const NormShiftMixKept&,
                                     const NormShiftMixOutputs<Bf16>&);
template void norm_shift_mix_backward(const NormShiftMixInputs<float>&, const NormShiftMixKept&,
                                      const NormShiftMixGradients<float>&);
template void norm_shift_mix_backward(const NormShiftMixInputs<Bf16>&, const NormShiftMixKept&,
                                      const NormShiftMixGradients<Bf16>&);

}  // namespace vrwkv::kernels::cpu
