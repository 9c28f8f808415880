// SPDX-License-Identifier: Apache-2.0
// Four threads share a row of a head's state: thread 4 i + q of a block holds, of row i, the columns
// 16 m + 4 q .. + 4 for all m. The four then read neighbouring Float4s of a row in shared memory, and a sum
// over a row ends with two shuffles.
#pragma once

#include "kernels/device/device.h"

namespace vrwkv::kernels::device {

template <int kHeadSize>
struct QuarterRow {
  static constexpr int kSharers = 4;
  static constexpr int kThreads = kSharers * kHeadSize;  // of a block
  static constexpr int kColumns = kHeadSize / kSharers;  // of a thread

  __device__ QuarterRow() : row(thread_index() / kSharers), sharer(thread_index() % kSharers) {}

  /// Of this thread's element e.
  __device__ int column(int e) const { return kSharers * 4 * (e / 4) + 4 * sharer + e % 4; }
  /// Where element e is in the head's state, and in the transposed one.
  __device__ int at(int e) const { return row * kHeadSize + column(e); }
  __device__ int transposed_at(int e) const { return column(e) * kHeadSize + row; }
  /// Of a row in shared memory, what stands in this thread's columns 4 m to 4 m + 3.
  __device__ Float4 read(const float (&values)[kHeadSize], int m) const {
    return load_16<Float4>(&values[column(4 * m)]);
  }
  /// Adds over the threads of the row; all of them get the sum.
  __device__ static float sum(float x) {
    x += shuffle_xor(x, 1);
    return x + shuffle_xor(x, 2);
  }

  int row, sharer;
};

}  // namespace vrwkv::kernels::device
