// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace vrwkv::kernels {

struct NormShiftMix {
  at::Tensor mixed;  ///< (M, T, C), contiguous: one slab a mix
  at::Tensor last;   ///< (S, C): the normalised last token of each sequence, the next call's `previous`
  /// (T, C): a copy of the input, for whoever adds to it (the sum around the mix) to do so in place. A
  /// gradient that comes by it is added on the way, which saves a pass that would add two gradients.
  at::Tensor x;
};

/// What a time mix (six mixes) or channel mix (one) begins with. Per token t,
///
///     n_t = LayerNorm(x_t) weight + bias
///     s_t = n_{t-1} inside a sequence; at its start `previous`, or 0
///     mixed[m]_t = n_t + (s_t - n_t) mix_m
///
/// @param x                (T, C), fp32 or bf16; copied when not contiguous. T is not 0; C is a
///                         multiple of 16, on CUDA up to 4,096.
/// @param weight, bias     C elements, fp32.
/// @param epsilon          added to the variance, positive.
/// @param mixes            M tensors of C elements, fp32; M is 1 or 6.
/// @param sequence_starts  (S) int64 on the CPU, contiguous, ascending, first 0: where the sequences packed
///                         along T begin.
/// @param previous         (S, C) like `x`, what stands before each sequence; undefined for zeros. A
///                         constant: it gets no gradient.
/// @return                 like `x`, computed in fp32. `mixed` is differentiable (once) in x, weight, bias
///                         and the mixes, `last` in nothing. A NaN in x gives NaN in its token and the one
///                         that follows it; in a vector, in that channel.
/// @throws ShapeError when sizes, types or devices do not fit each other.
/// @throws NotBuiltError on CUDA tensors in a build without CUDA.
/// @throws DeviceError when the GPU refuses.
///
/// On a device the work is queued on the current stream; nothing waits for it. Beside the inputs two numbers
/// a token are kept for the gradients. The same inputs give the same bits, for any number of threads: the
/// gradients of weight, bias and mixes are sums over tokens in a fixed order.
NormShiftMix norm_shift_mix(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            double epsilon, const std::vector<at::Tensor>& mixes,
                            const at::Tensor& sequence_starts, const at::Tensor& previous = {});

/// The arguments of norm_shift_mix(), for a caller that writes its own backward.
struct NormShiftMixArguments {
  at::Tensor x, weight, bias;
  double epsilon;
  std::vector<at::Tensor> mixes;
  at::Tensor sequence_starts, previous;
};

/// norm_shift_mix() outside autograd.
/// @param kept  receives what norm_shift_mix_backward() needs beside the arguments; null: nothing is kept.
NormShiftMix norm_shift_mix_forward(const NormShiftMixArguments& arguments, at::Tensor* kept);

struct NormShiftMixArgumentGradients {
  at::Tensor x, weight, bias;     ///< (T, C) like x; (C) fp32
  std::vector<at::Tensor> mixes;  ///< (C) fp32 each
};
/// @param kept     norm_shift_mix_forward()'s.
/// @param d_mixed  (M, T, C) like NormShiftMix::mixed.
/// @param more_x   (T, C) like x: what is added to x's gradient; undefined: nothing.
/// @throws ShapeError also when they do not fit the arguments.
NormShiftMixArgumentGradients norm_shift_mix_backward(const NormShiftMixArguments& arguments,
                                                      const at::Tensor& kept, const at::Tensor& d_mixed,
                                                      const at::Tensor& more_x = {});

}  // namespace vrwkv::kernels
