// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vrwkv::kernels {

/// A row whose target is this has no cross-entropy: loss 0, and no gradient but the logit penalty's.
inline constexpr std::int64_t kNoTarget = -100;

struct HeadLoss {
  at::Tensor losses;    // (P) fp32: each row's cross-entropy, unweighted
  at::Tensor d_hidden;  // (T, C), hidden's type, or undefined when no gradients were asked for
  at::Tensor d_head;    // (V, C) fp32, or undefined when its gradient was not asked for
};

/// Cross-entropy of logits = hidden @ head^T and its gradients, without ever holding all logits: they are
/// made and turned into their gradient tile by tile (logit_tile.h), in at most 64 MB beside arguments and
/// result, gathered rows included (144 KB more for each thread above 32). Outside autograd: the gradients are
/// returned, not recorded.
///
/// The gradients are those of  sum_p weights[p] * losses[p],  and of the logit penalty (L2Wrap), which exists
/// in backward only: each row's largest logit (the first of equals) gets `max_logit * l2wrap_scale` more,
/// whatever its weight.
///
/// @param hidden                (T, C) fp32 or bf16; T may be 0. Copied when not contiguous, as
///                              `head` is.
/// @param head                  (V, C), the same type. Logits are fp32 in any case; their gradient is rounded
///                              to bf16 where products of bf16 are made: on a GPU, and on a CPU that can.
/// @param targets               (P) int64 in [0, V), or kNoTarget. On the CPU, where they are checked without
///                              waiting for a GPU; or where `hidden` is, and then the check waits.
/// @param weights               (P) fp32.
/// @param rows                  (P) int64 where `hidden` is, distinct and below T: the rows of it that count;
///                              the others have no gradient. Undefined: all, and P = T.
/// @param with_gradients        fills d_hidden.
/// @param with_head_gradient    fills d_head too; needs with_gradients.
/// @throws ShapeError when sizes, types or devices do not fit each other, or a target is outside the
/// vocabulary. Logits that are not numbers give losses and gradients that are none; such a weight, gradients.
HeadLoss head_cross_entropy(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                            const at::Tensor& weights, double l2wrap_scale, bool with_gradients,
                            bool with_head_gradient, const at::Tensor& rows = {});

}  // namespace vrwkv::kernels
