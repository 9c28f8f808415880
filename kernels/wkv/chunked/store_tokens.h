// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/wkv/chunked/task.h"

namespace vrwkv::kernels::cuda::chunked {

/// Where a lane writes of a chunk: the elements from channel 16 * block + 2 * c2 on of tokens g and g + 8.
struct TokenRows {
  __device__ TokenRows(const Task& task, int chunk, int block, const Lane& lane) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int token = lane.g + 8 * j;
      element[j] = task.row(chunk, token) + block * kChunk + 2 * lane.c2;
      exists[j] = token < task.chunk_tokens(chunk);
    }
  }
  std::int64_t element[2];
  bool exists[2];
};

/// Writes x (16 channels, the chunk's tokens) to the tensor's rows. `room` is of the warp alone, and until
/// the warp's next barrier no lane may use it.
__device__ __forceinline__ void store_transposed(Bf16* tensor, const TokenRows& rows, const Left& x,
                                                 Block& room, const Lane& lane) {
  // Read with rows in this order, a lane has four neighbours of a token, and its four lanes a whole sector.
  const int row = lane.index % 8;
  const int channel = row / 2 * 4 + row % 2 + lane.index / 8 % 2 * 2;
  const auto place = [](int of) { return of ^ of / 8 * 2; };  // all banks once, either way
#pragma unroll
  for (int n = 0; n < 4; ++n) room.pair(place(lane.g + n % 2 * 8), n / 2 * 8 + lane.c2) = x.at[n];
  device::warp_barrier();
  Right of_tokens;
  device::load_matrices<true>(of_tokens.at, &room.pair(place(channel), lane.index / 16 * 8));
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    if (rows.exists[j])
      *reinterpret_cast<Pair2*>(tensor + rows.element[j]) =
          Pair2{{of_tokens.at[2 * j], of_tokens.at[2 * j + 1]}};
  }
}

}  // namespace vrwkv::kernels::cuda::chunked
