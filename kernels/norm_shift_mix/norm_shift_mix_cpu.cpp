// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "kernels/norm_shift_mix/norm_shift_mix_backend.h"
#include "kernels/norm_shift_mix/norm_shift_mix_cpu_tile.h"

#if !defined(_OPENMP)
#error "without OpenMP at::parallel_for runs on one thread"
#endif

namespace vrwkv::kernels::cpu {
namespace {

/// Calls run(tile, scratch) for every tile, over ATen's threads.
template <class Element, class Run>
void for_each_tile(const NormShiftMixInputs<Element>& in, std::int64_t scratch_rows, const Run& run) {
  at::parallel_for(0, in.tiles(), /*grain_size=*/1, [&](std::int64_t begin, std::int64_t end) {
    const at::Tensor scratch = at::empty({scratch_rows * in.channels}, at::kFloat);
    for (std::int64_t tile = begin; tile < end; ++tile) run(tile, scratch.data_ptr<float>());
  });
}

}  // namespace

template <class Element>
void norm_shift_mix_forward(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                            const NormShiftMixOutputs<Element>& outputs) {
  static const auto run = VRWKV_WIDEST(norm_shift_mix_forward_tile<Element>);
  for_each_tile(inputs, kNormShiftMixForwardRows, [&](std::int64_t tile, float* scratch) {
    run(inputs, kept, outputs, token_tile(inputs, tile), scratch);
  });
}

template <class Element>
void norm_shift_mix_backward(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                             const NormShiftMixGradients<Element>& gradients) {
  static const auto run = VRWKV_WIDEST(norm_shift_mix_backward_tile<Element>);
  for_each_tile(inputs, kNormShiftMixBackwardRows, [&](std::int64_t tile, float* scratch) {
    float* sums = gradients.tile_sums + tile * (inputs.mix_count + 2) * inputs.channels;
    run(inputs, kept, gradients, token_tile(inputs, tile), sums, scratch);
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
