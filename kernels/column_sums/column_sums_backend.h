// SPDX-License-Identifier: Apache-2.0
// What column_sums.cpp asks of a device: sums[c] = sum of rows[i * columns + c] over i, fp32.
#pragma once

#include <cstdint>

namespace vrwkv::kernels {

namespace cpu {
void column_sums(const float* rows, std::int64_t row_count, std::int64_t columns, float* sums);
}

/// Queued on `stream` (a cudaStream_t); nothing waits.
namespace cuda {
void column_sums(const float* rows, std::int64_t row_count, std::int64_t columns, float* sums, void* stream);
}

}  // namespace vrwkv::kernels
