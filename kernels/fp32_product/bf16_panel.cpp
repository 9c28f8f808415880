// SPDX-License-Identifier: Apache-2.0
#include "kernels/fp32_product/bf16_panel.h"

#include "kernels/cpu/lanes.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// Two neighbours in depth, as a word.
typedef Float Pairs;

/// kLanes pairs of vector i, from pair `first`; depth_stride is 1.
Pairs pairs_of_vector(const Bf16Vectors& from, std::int64_t i, std::int64_t first) {
  Pairs pairs;
  __builtin_memcpy(&pairs, from.data + i * from.vector_stride + 2 * first, sizeof pairs);
  return pairs;
}

/// Pair number `pair` of kLanes vectors, from vector `first`; vector_stride is 1.
Pairs pairs_of_depth(const Bf16Vectors& from, std::int64_t pair, std::int64_t first) {
  HalfBits lower, upper;
  const Bf16* data = from.data + 2 * pair * from.depth_stride + first;
  __builtin_memcpy(&lower, data, sizeof lower);
  __builtin_memcpy(&upper, data + from.depth_stride, sizeof upper);
  return reinterpret_cast<Pairs>(__builtin_convertvector(lower, Bits) | __builtin_convertvector(upper, Bits)
                                                                            << 16);
}

/// Zero beyond the end.
std::uint32_t element(const Bf16Vectors& from, std::int64_t i, std::int64_t k) {
  return i < from.count && k < from.depth ? from.data[i * from.vector_stride + k * from.depth_stride].bits
                                          : 0;
}
std::uint32_t pair_at_end(const Bf16Vectors& from, std::int64_t i, std::int64_t pair) {
  return element(from, i, 2 * pair) | element(from, i, 2 * pair + 1) << 16U;
}

/// kLanes vectors from number `vector`, kLanes pairs of each from number `pair`, as they lie: a row is a
/// vector where depth_stride is 1, else a pair.
void load_block(const Bf16Vectors& from, std::int64_t vector, std::int64_t pair, Pairs (&rows)[kLanes]) {
  const bool by_vector = from.depth_stride == 1;
  const bool whole = vector + kLanes <= from.count && 2 * (pair + kLanes) <= from.depth;
  for (int row = 0; row < kLanes; ++row) {
    if (!whole) {
      Bits words;
      for (int lane = 0; lane < kLanes; ++lane) {
        words[lane] = by_vector ? pair_at_end(from, vector + row, pair + lane)
                                : pair_at_end(from, vector + lane, pair + row);
      }
      rows[row] = reinterpret_cast<Pairs>(words);
    } else {
      rows[row] =
          by_vector ? pairs_of_vector(from, vector + row, pair) : pairs_of_depth(from, pair + row, vector);
    }
  }
}

}  // namespace

void pack_panel(const Bf16Vectors& from, PanelOrder order, std::int64_t depth, Bf16* to) {
  const bool lies_by_vector = from.depth_stride == 1, by_vector = order == PanelOrder::kLeft;
  const std::int64_t row_stride = by_vector ? depth : 2 * kPanelVectors;
  for (std::int64_t vector = 0; vector < kPanelVectors; vector += kLanes) {
    for (std::int64_t pair = 0; pair < depth / 2; pair += kLanes) {
      Pairs rows[kLanes];
      load_block(from, vector, pair, rows);
      if (lies_by_vector != by_vector) swap_blocks<1>(rows);
      Bf16* block = to + (by_vector ? vector * row_stride + 2 * pair : pair * row_stride + 2 * vector);
      for (int row = 0; row < kLanes; ++row)
        __builtin_memcpy(block + row * row_stride, &rows[row], sizeof rows[row]);
    }
  }
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
