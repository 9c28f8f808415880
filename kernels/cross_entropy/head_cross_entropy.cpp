// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy/head_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "common/error.h"
#include "kernels/argument_checks.h"

namespace vrwkv::kernels {
namespace {

constexpr std::int64_t kMaxLogitsPerPiece = std::int64_t{8} << 20;  // 32 MB of fp32

void check_arguments(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                     const at::Tensor& weights) {
  constexpr const char* kWhere = "head_cross_entropy";
  check_float32(kWhere, "hidden", hidden, hidden.device());
  check_float32(kWhere, "head", head, hidden.device());
  check_float32(kWhere, "weights", weights, hidden.device());
  if (hidden.dim() != 2 || head.dim() != 2 || hidden.size(1) != head.size(1)) {
    throw ShapeError("{}: hidden is {} and head is {} but should be (P, C) and (V, C).", kWhere,
                     shape_text(hidden.sizes()), shape_text(head.sizes()));
  }
  check_shape(kWhere, "targets", targets, {hidden.size(0)}, "one target a row of hidden");
  check_shape(kWhere, "weights", weights, {hidden.size(0)}, "one weight a row of hidden");
  if (targets.scalar_type() != at::kLong || targets.device() != hidden.device()) {
    throw ShapeError("{}: targets should be int64 on {}.", kWhere, hidden.device().str());
  }
  const at::Tensor wrong =
      (targets != kNoTarget).logical_and_((targets < 0).logical_or_(targets >= head.size(0)));
  if (wrong.any().item<bool>()) {
    throw ShapeError("{}: a target is {} but the vocabulary has {} entries.", kWhere,
                     targets.masked_select(wrong)[0].item<std::int64_t>(), head.size(0));
  }
}

/// Turns `logits` (rows, V) into their gradient, in place, and writes the rows' losses.
void logits_to_gradient(at::Tensor& logits, const at::Tensor& targets, const at::Tensor& weights,
                        double l2wrap_scale, at::Tensor losses) {
  const at::Tensor has_target = targets != kNoTarget;
  const at::Tensor target_column = targets.clamp_min(0).unsqueeze(1);
  const auto [largest, largest_column] = logits.max(1, /*keepdim=*/true);
  const at::Tensor target_logit = logits.gather(1, target_column);
  logits.sub_(largest).exp_();
  const at::Tensor normalizer = logits.sum(1, /*keepdim=*/true);
  losses.copy_(
      (normalizer.log() + largest - target_logit).squeeze(1).masked_fill_(has_target.logical_not(), 0.0));
  const at::Tensor row_weight = (weights * has_target).unsqueeze(1);
  logits.mul_(row_weight / normalizer);
  logits.scatter_add_(1, target_column, -row_weight);
  logits.scatter_add_(1, largest_column, largest * l2wrap_scale);
}

}  // namespace

HeadLoss head_cross_entropy(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                            const at::Tensor& weights, double l2wrap_scale, bool with_gradients,
                            bool with_head_gradient) {
  const at::NoGradGuard no_gradients;
  check_arguments(hidden, head, targets, weights);
  const std::int64_t rows = hidden.size(0);
  const std::int64_t rows_per_piece =
      std::max<std::int64_t>(1, kMaxLogitsPerPiece / std::max<std::int64_t>(1, head.size(0)));
  HeadLoss result;
  result.losses = at::empty({rows}, hidden.options());
  if (with_gradients) result.d_hidden = at::empty(hidden.sizes(), hidden.options());
  if (with_gradients && with_head_gradient) result.d_head = at::zeros(head.sizes(), head.options());
  at::Tensor buffer = at::empty({std::min(rows, rows_per_piece), head.size(0)}, hidden.options());
  for (std::int64_t first = 0; first < rows; first += rows_per_piece) {
    const std::int64_t count = std::min(rows_per_piece, rows - first);
    const at::Tensor piece = hidden.narrow(0, first, count);
    at::Tensor logits = buffer.narrow(0, 0, count);
    at::mm_out(logits, piece, head.t());
    logits_to_gradient(logits, targets.narrow(0, first, count), weights.narrow(0, first, count), l2wrap_scale,
                       result.losses.narrow(0, first, count));
    if (result.d_hidden.defined()) {
      at::Tensor d_piece = result.d_hidden.narrow(0, first, count);
      at::mm_out(d_piece, logits, head);
    }
    if (result.d_head.defined()) result.d_head.addmm_(logits.t(), piece);
  }
  return result;
}

}  // namespace vrwkv::kernels
