// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/instruction_set.h"
#include "kernels/bf16.h"

namespace vrwkv::kernels::cpu {

/// Rows of the left factor of a product, or columns of the right one: `count` vectors of `depth` elements,
/// of which element k of vector i is data[i * vector_stride + k * depth_stride]. One of the strides is 1.
struct Bf16Vectors {
  const Bf16* data;
  std::int64_t vector_stride, depth_stride;
  std::int64_t count, depth;

  /// `count` vectors from number `first`, and of them `depth` elements from number `from`; no more than
  /// there are.
  Bf16Vectors part(std::int64_t first, std::int64_t count, std::int64_t from, std::int64_t depth) const;
};

/// Vectors of a panel. A smaller part of a matrix is filled up with zeros.
inline constexpr std::int64_t kPanelVectors = 64;
/// What the depth of a panel is a multiple of.
inline constexpr std::int64_t kPanelDepth = 32;

/// How a panel lies in memory: as (vectors, depth), the left factor's; or as (depth / 2, vectors, 2), the
/// right one's, so that two neighbours in depth are one word, as processors with bf16 products read them.
enum class PanelOrder { kLeft, kRight };

VRWKV_FOR_EACH_INSTRUCTION_SET(
    /// @param from   at most kPanelVectors vectors of at most `depth` elements.
    /// @param depth  of the panel: a multiple of kPanelDepth.
    /// @param to     kPanelVectors x depth elements.
    void pack_panel(const Bf16Vectors& from, PanelOrder order, std::int64_t depth, Bf16* to);)

}  // namespace vrwkv::kernels::cpu
