// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace vrwkv::weights {

/// A stored tensor that can be read, whole or in parts, from wherever it lies.
struct Weight {
  std::vector<std::int64_t> shape = {};
  /// Elements of rows [first, first + count) of dimension 0, in the stored floating-point type.
  /// @throws ConfigError when `is_floating` is false.
  std::function<at::Tensor(std::int64_t first, std::int64_t count)> rows = {};
  /// Lets go of memory that reading took; the tensor can still be read again.
  std::function<void()> release = [] {};
  /// (1, n * n, D): one vector for each place of a square grid, so that another grid's can be computed.
  bool is_position_grid = false;
  bool is_floating = true;  ///< false: integers or the like, which no weight is

  std::int64_t numel() const;
  at::Tensor all() const { return rows(0, shape.empty() ? 1 : shape[0]); }
};

/// By state_dict name with every prefix: "rwkv.", "vit.", "proj.".
using WeightTable = std::map<std::string, Weight>;

/// The position embeddings of a side x side grid, as the original makes them: fp32, torch's bicubic
/// interpolation with antialiasing, corners not aligned.
/// @param positions  (1, n * n, D).
/// @return           (1, side * side, D); `positions` in fp32 when n is `side`.
at::Tensor resample_positions(const at::Tensor& positions, std::int64_t side);

}  // namespace vrwkv::weights
