// SPDX-License-Identifier: Apache-2.0
// What map_attention.cpp asks of the CPU's kernel. Plain pointers: LibTorch is not seen here.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"

namespace vrwkv::kernels::cpu {

/// One call; the equation is at map_attention() in map_attention.h. All fp32, contiguous.
struct MapAttention {
  std::int64_t images, rows, columns, heads, head_size, window_rows, window_columns;
  const float* qkv;           // (images, rows, columns, 3, heads, head_size)
  const float* row_table;     // (2 window_rows - 1, head_size)
  const float* column_table;  // (2 window_columns - 1, head_size)
  const float* outside;       // (3, heads, head_size)
  float* out;                 // (images, rows, columns, heads, head_size)
};

/// A call is attention_tasks() tasks that share nothing, so threads may take them in any order: a head of a
/// window and, of a large window, some of its queries. Each needs attention_scratch_floats() floats of
/// scratch memory, 64-byte aligned, not initialised.
VRWKV_FOR_EACH_INSTRUCTION_SET(std::int64_t attention_tasks(const MapAttention& call);
                               std::int64_t attention_scratch_floats(const MapAttention& call);
                               void attention_task(const MapAttention& call, std::int64_t task,
                                                   float* scratch);)

void map_attention(const MapAttention& call);

}  // namespace vrwkv::kernels::cpu
