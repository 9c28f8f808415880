// SPDX-License-Identifier: Apache-2.0
// Tiles of logits, their losses and gradients, as tests ask any backend for them.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/cross_entropy/logit_rows_backend.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::test {

struct LogitRowsBackend {
  std::function<void(const kernels::LogitRows&, const float* logits, float* losses)> merge_statistics;
  std::function<void(const kernels::LogitRows&, float l2wrap_scale, float* logits)> to_gradient;
};

struct LogitRowsCase {
  std::int64_t rows, columns, piece;  // `piece` columns are seen at once
  double size = 3.0;                  // of the logits
};

inline const LogitRowsCase kLogitRowsCases[] = {{1, 1, 1},       {3, 17, 17},   {5, 63, 20},
                                                {2, 1000, 1000}, {4, 700, 256}, {3, 300, 64, 1e4}};

struct LogitRowsTensors {
  at::Tensor logits, targets, weights;
};

/// Some rows have no target; some have their largest logit twice, in two pieces where there are two.
inline LogitRowsTensors random_logit_rows(const LogitRowsCase& c) {
  at::manual_seed(c.rows + c.columns);
  LogitRowsTensors tensors{.logits = at::randn({c.rows, c.columns}) * c.size,
                           .targets = at::randint(c.columns, {c.rows}, at::kLong),
                           .weights = at::rand({c.rows}) + 0.1};
  if (c.rows > 2) {
    tensors.targets[1] = -100;
    tensors.logits[2][c.columns - 1] = tensors.logits[2].max() + 1;
    tensors.logits[2][c.columns / 3] = tensors.logits[2][c.columns - 1];
  }
  return tensors;
}

constexpr double kL2WrapScale = 0.01;

/// {losses, gradients of the logits}, piece by piece and back.
inline std::vector<at::Tensor> logit_rows_results(const LogitRowsBackend& backend, const LogitRowsCase& c,
                                                  const LogitRowsTensors& tensors) {
  const at::Tensor losses = at::full({c.rows}, NAN);
  const at::Tensor statistics =
      at::full({c.rows * static_cast<std::int64_t>(sizeof(kernels::RowStatistics) / sizeof(float))}, NAN);
  std::vector<at::Tensor> pieces;
  const auto rows_of = [&](std::int64_t first, std::int64_t columns) {
    return kernels::LogitRows{.rows = c.rows,
                              .columns = columns,
                              .first_column = first,
                              .targets = tensors.targets.const_data_ptr<std::int64_t>(),
                              .weights = tensors.weights.const_data_ptr<float>(),
                              .statistics = static_cast<kernels::RowStatistics*>(statistics.data_ptr())};
  };
  for (std::int64_t first = 0; first < c.columns; first += c.piece) {
    pieces.push_back(tensors.logits.slice(1, first, first + c.piece).clone(at::MemoryFormat::Contiguous));
    backend.merge_statistics(rows_of(first, pieces.back().size(1)), pieces.back().const_data_ptr<float>(),
                             losses.data_ptr<float>());
  }
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    backend.to_gradient(rows_of(static_cast<std::int64_t>(i) * c.piece, pieces[i].size(1)),
                        static_cast<float>(kL2WrapScale), pieces[i].data_ptr<float>());
  }
  return {losses, at::cat(pieces, 1)};
}

/// The same in fp64, the gradient from autograd.
inline std::vector<at::Tensor> expected_logit_rows(const LogitRowsTensors& tensors) {
  const at::Tensor logits = tensors.logits.to(at::kDouble).requires_grad_();
  const at::Tensor losses =
      at::cross_entropy_loss(logits, tensors.targets, {}, at::Reduction::None, /*ignore_index=*/-100);
  // Half the square of the largest logit: its gradient is that logit.
  const at::Tensor penalty = std::get<0>(logits.max(1)).square().sum() * (0.5 * kL2WrapScale);
  const at::Tensor total = (losses * tensors.weights.to(at::kDouble)).sum() + penalty;
  return {losses.detach(), torch::autograd::grad({total}, {logits})[0]};
}

/// exp of fp32 differences: their rounding is 2^-24 of the logits' size.
inline void expect_logit_rows_near(const std::vector<at::Tensor>& actual, const LogitRowsCase& c,
                                   const LogitRowsTensors& tensors, double tolerance) {
  const auto expected = expected_logit_rows(tensors);
  EXPECT_LE(relative_rms(actual[0], expected[0]), tolerance) << c.columns;
  EXPECT_LE(relative_rms(actual[1], expected[1]), tolerance) << c.columns;
}

/// A logit that is no number, in whichever piece, makes its row's loss and gradients none, and no other's.
inline void expect_nan_is_seen_from_any_piece(const LogitRowsBackend& backend) {
  const LogitRowsCase c{3, 300, 64};
  for (std::int64_t column = 0; column < c.columns; column += c.piece) {
    SCOPED_TRACE(column);
    auto tensors = random_logit_rows(c);
    tensors.logits[2][column] = NAN;
    for (const at::Tensor& result : logit_rows_results(backend, c, tensors)) {
      EXPECT_FALSE(result.slice(0, 0, 2).isnan().any().item<bool>());
      EXPECT_TRUE(result[2].isnan().all().item<bool>());
    }
  }
}

}  // namespace vrwkv::test
