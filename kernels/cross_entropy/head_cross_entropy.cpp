// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy/head_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>

#include "common/error.h"
#include "kernels/activations.h"
#include "kernels/argument_checks.h"
#include "kernels/cross_entropy/logit_rows_backend.h"
#include "kernels/cross_entropy/logit_tile.h"
#include "kernels/device/current_stream.h"
#include "kernels/fp32_product/fp32_product.h"
#include "kernels/record_call.h"

namespace vrwkv::kernels {
namespace {

constexpr const char* kWhere = "head_cross_entropy";

void check_rows(const at::Tensor& rows, const at::Tensor& hidden) {
  check_present(kWhere, "rows", rows);
  if (rows.scalar_type() != at::kLong || rows.device() != hidden.device() || rows.dim() != 1)
    throw ShapeError("{}: rows should be (P) int64 on {}.", kWhere, hidden.device().str());
  if (!rows.is_cpu() || rows.numel() == 0) return;  // a GPU would be waited for
  const auto first = rows.min().item<std::int64_t>(), last = rows.max().item<std::int64_t>();
  if (first < 0 || last >= hidden.size(0))
    throw ShapeError("{}: rows reach from {} to {} but hidden has {}.", kWhere, first, last, hidden.size(0));
}

void check_arguments(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                     const at::Tensor& weights, const at::Tensor& rows) {
  check_activation(kWhere, "hidden", hidden, hidden);
  check_activation(kWhere, "head", head, head);
  check_float32(kWhere, "weights", weights, hidden.device());
  if (hidden.dim() != 2 || head.dim() != 2 || hidden.size(1) != head.size(1) || head.size(0) == 0) {
    throw ShapeError("{}: hidden is {} and head is {} but should be (P, C) and (V, C).", kWhere,
                     shape_text(hidden.sizes()), shape_text(head.sizes()));
  }
  if (head.scalar_type() != hidden.scalar_type() || head.device() != hidden.device()) {
    throw ShapeError("{}: hidden is {} on {} and head is {} on {} (both share one type and one device).",
                     kWhere, c10::toString(hidden.scalar_type()), hidden.device().str(),
                     c10::toString(head.scalar_type()), head.device().str());
  }
  if (rows.defined()) check_rows(rows, hidden);
  const std::int64_t count = rows.defined() ? rows.size(0) : hidden.size(0);
  check_shape(kWhere, "targets", targets, {count}, "one target a row that counts");
  check_shape(kWhere, "weights", weights, {count}, "one weight a row that counts");
  if (targets.scalar_type() != at::kLong || !(targets.is_cpu() || targets.device() == hidden.device())) {
    throw ShapeError("{}: targets should be int64 on the CPU or on {}.", kWhere, hidden.device().str());
  }
  const at::Tensor wrong =
      (targets != kNoTarget).logical_and_((targets < 0).logical_or_(targets >= head.size(0)));
  if (wrong.any().item<bool>()) {
    throw ShapeError("{}: a target is {} but the vocabulary has {} entries.", kWhere,
                     targets.masked_select(wrong)[0].item<std::int64_t>(), head.size(0));
  }
}

/// One call, tile by tile. Some rows go over the vocabulary from its first piece to its last for their
/// statistics and back for their gradients, so that the last piece's logits serve both.
class TileByTile {
 public:
  TileByTile(const at::Tensor& hidden, const at::Tensor& rows, const at::Tensor& head, double l2wrap_scale,
             HeadLoss& result)
      : hidden_(hidden),
        chosen_(rows),
        head_(head),
        l2wrap_scale_(static_cast<float>(l2wrap_scale)),
        result_(result),
        products_(logit_products(hidden.scalar_type(), hidden.device().type())),
        sizes_(logit_tile_sizes(result.losses.size(0), head.size(0), hidden.size(1), products_,
                                hidden.device().type())),
        on_cpu_(hidden.is_cpu()) {
    const at::TensorOptions fp32 = hidden.options().dtype(at::kFloat);
    logits_ = at::empty({sizes_.rows * sizes_.columns}, fp32);
    if (products_ == LogitProducts::kBf16 && !on_cpu_) rounded_ = at::empty_like(logits_, hidden.options());
    statistics_ = at::empty({sizes_.rows * static_cast<std::int64_t>(sizeof(RowStatistics))},
                            hidden.options().dtype(at::kByte));
  }

  void run(const at::Tensor& targets, const at::Tensor& weights) {
    for (std::int64_t first = 0; first < result_.losses.size(0); first += sizes_.rows) {
      const std::int64_t count = std::min(sizes_.rows, result_.losses.size(0) - first);
      rows_ = {.rows = count,
               .columns = 0,
               .first_column = 0,
               .targets = targets.const_data_ptr<std::int64_t>() + first,
               .weights = weights.const_data_ptr<float>() + first,
               .statistics = static_cast<RowStatistics*>(statistics_.data_ptr())};
      const at::Tensor chosen = chosen_.defined() ? chosen_.narrow(0, first, count) : at::Tensor();
      const at::Tensor piece =
          as_multiplied(chosen.defined() ? hidden_.index_select(0, chosen) : hidden_.narrow(0, first, count));
      up(piece, result_.losses.data_ptr<float>() + first);
      if (!result_.d_hidden.defined()) continue;
      const at::Tensor d_piece = down(piece).to(hidden_.scalar_type());
      if (chosen.defined()) {
        result_.d_hidden.index_copy_(0, chosen, d_piece);
      } else {
        result_.d_hidden.narrow(0, first, count).copy_(d_piece);
      }
    }
  }

 private:
  at::Tensor as_multiplied(const at::Tensor& x) const {
    return products_ == LogitProducts::kBf16Widened ? x.to(at::kFloat) : x;
  }

  /// Points rows_ at the piece of the vocabulary that begins with entry `first`.
  void enter(std::int64_t first) {
    rows_.first_column = first;
    rows_.columns = std::min(sizes_.columns, head_.size(0) - first);
  }
  at::Tensor head_piece() const { return as_multiplied(head_.narrow(0, rows_.first_column, rows_.columns)); }
  at::Tensor tile(const at::Tensor& memory) const {
    return memory.narrow(0, 0, rows_.rows * rows_.columns).view({rows_.rows, rows_.columns});
  }
  /// What make_gradient() makes.
  at::Tensor gradient() const {
    if (products_ != LogitProducts::kBf16) return tile(logits_);
    if (!on_cpu_) return tile(rounded_);
    return tile(logits_).view(at::kBFloat16).narrow(1, 0, rows_.columns);  // the first half of each row
  }

  void up(const at::Tensor& piece, float* losses) {
    for (std::int64_t first = 0; first < head_.size(0); first += sizes_.columns) {
      enter(first);
      fp32_product_into(tile(logits_), piece, head_piece().t(), /*adds=*/false);
      const auto* logits = logits_.const_data_ptr<float>();
      if (on_cpu_) {
        cpu::merge_statistics(rows_, logits, losses);
      } else {
        cuda::merge_statistics(rows_, logits, losses, current_stream(hidden_.device()));
      }
    }
  }

  /// @return  the gradient of the rows, fp32.
  at::Tensor down(const at::Tensor& piece) {
    const at::Tensor sum = at::empty({rows_.rows, hidden_.size(1)}, logits_.options());
    const std::int64_t last = rows_.first_column;
    for (std::int64_t first = last; first >= 0; first -= sizes_.columns) {
      enter(first);
      const at::Tensor entries = head_piece();
      if (first != last) fp32_product_into(tile(logits_), piece, entries.t(), /*adds=*/false);
      make_gradient();
      fp32_product_into(sum, gradient(), entries, /*adds=*/first != last);
      if (result_.d_head.defined())
        fp32_product_into(result_.d_head.narrow(0, rows_.first_column, rows_.columns), gradient().t(), piece,
                          /*adds=*/true);
    }
    return sum;
  }

  void make_gradient() {
    auto* const logits = logits_.data_ptr<float>();
    const bool rounds = products_ == LogitProducts::kBf16;
    if (on_cpu_ && rounds) {
      cpu::logits_to_gradient<Bf16>(rows_, l2wrap_scale_, logits);
    } else if (on_cpu_) {
      cpu::logits_to_gradient<float>(rows_, l2wrap_scale_, logits);
    } else if (rounds) {
      cuda::logits_to_gradient(rows_, l2wrap_scale_, logits, static_cast<Bf16*>(rounded_.data_ptr()),
                               current_stream(hidden_.device()));
    } else {
      cuda::logits_to_gradient(rows_, l2wrap_scale_, logits, logits, current_stream(hidden_.device()));
    }
  }

  const at::Tensor& hidden_;
  const at::Tensor& chosen_;  // rows of hidden_, or undefined for all
  const at::Tensor& head_;
  const float l2wrap_scale_;
  HeadLoss& result_;
  const LogitProducts products_;
  const LogitTileSizes sizes_;
  const bool on_cpu_;
  at::Tensor logits_;
  at::Tensor rounded_;     // a GPU's gradient in bf16
  at::Tensor statistics_;  // of the tile's rows
  LogitRows rows_{};       // the tile in hand
};

}  // namespace

HeadLoss head_cross_entropy(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                            const at::Tensor& weights, double l2wrap_scale, bool with_gradients,
                            bool with_head_gradient, const at::Tensor& rows) {
  const at::NoGradGuard no_gradients;
  check_arguments(hidden, head, targets, weights, rows);
  const c10::DeviceGuard device(hidden.device());
  RecordCall record("vrwkv::head_cross_entropy", {hidden, rows, head, targets, weights});
  const at::TensorOptions fp32 = hidden.options().dtype(at::kFloat);
  HeadLoss result;
  result.losses = at::empty({targets.size(0)}, fp32);
  if (with_gradients && rows.defined()) {
    result.d_hidden = at::zeros(hidden.sizes(), hidden.options());
  } else if (with_gradients) {
    result.d_hidden = at::empty(hidden.sizes(), hidden.options());
  }
  if (with_gradients && with_head_gradient) result.d_head = at::zeros(head.sizes(), fp32);
  const at::Tensor dense_hidden = dense(hidden), dense_head = dense(head);
  const at::Tensor device_targets =
      targets.device() == hidden.device() ? targets : queued_copy(targets, hidden.device());
  TileByTile(dense_hidden, rows, dense_head, l2wrap_scale, result)
      .run(device_targets.contiguous(), weights.contiguous());
  record.set_outputs({result.losses, result.d_hidden, result.d_head});
  return result;
}

}  // namespace vrwkv::kernels
