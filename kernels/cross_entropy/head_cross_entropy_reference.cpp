// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy/head_cross_entropy_reference.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

namespace vrwkv::kernels {

HeadLoss head_cross_entropy_reference(const at::Tensor& hidden, const at::Tensor& head,
                                      const at::Tensor& targets, const at::Tensor& weights,
                                      double l2wrap_scale) {
  const at::Tensor rows = hidden.to(at::kDouble).requires_grad_();
  const at::Tensor entries = head.to(at::kDouble).requires_grad_();
  const at::Tensor logits = rows.matmul(entries.t());
  const at::Tensor losses =
      at::cross_entropy_loss(logits, targets, {}, at::Reduction::None, /*ignore_index=*/kNoTarget);
  // Half the square of the largest logit: its gradient is that logit.
  const at::Tensor penalty = std::get<0>(logits.max(1)).square().sum() * (0.5 * l2wrap_scale);
  const auto gradients =
      torch::autograd::grad({(losses * weights.to(at::kDouble)).sum() + penalty}, {rows, entries});
  return {.losses = losses.detach(), .d_hidden = gradients[0], .d_head = gradients[1]};
}

}  // namespace vrwkv::kernels
