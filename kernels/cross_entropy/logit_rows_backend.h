// SPDX-License-Identifier: Apache-2.0
// What head_cross_entropy.cpp asks of a device between the products. Plain pointers: neither LibTorch nor
// CUDA is seen here.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"
#include "kernels/bf16.h"

namespace vrwkv::kernels {

/// Of one row of logits, over the columns seen so far.
struct RowStatistics {
  float largest;
  std::int32_t largest_column;  // the first of equals
  float sum;                    // of exp(logit - largest)
  float target_logit;           // once its column was seen
};

/// A tile of logits: `rows` rows whose first element is vocabulary entry `first_column`, contiguous.
struct LogitRows {
  std::int64_t rows, columns, first_column;
  const std::int64_t* targets;  // (rows): a vocabulary entry, or negative for none
  const float* weights;         // (rows)
  RowStatistics* statistics;    // (rows)
};

namespace cpu {
/// Takes the tile into its rows' statistics; the tile whose first column is 0 starts them. Sets
/// losses[row] = log sum exp(logits) - target's logit, of the columns so far; 0 without a target.
void merge_statistics(const LogitRows& tile, const float* logits, float* losses);

/// From the statistics of all columns: weight * (softmax - one-hot target), plus largest * l2wrap_scale at
/// the largest. In place, as float or Bf16: each row of the gradient begins where the logits' did, so that
/// one of Bf16 fills the first half of its place.
template <class Element>
void logits_to_gradient(const LogitRows& tile, float l2wrap_scale, float* logits);

/// The same of the rows [begin, end).
VRWKV_FOR_EACH_INSTRUCTION_SET(void merge_statistics_of(const LogitRows& tile, const float* logits,
                                                        float* losses, std::int64_t begin, std::int64_t end);
                               template <class Element>
                               void logits_to_gradient_of(const LogitRows& tile, float l2wrap_scale,
                                                          float* logits, std::int64_t begin,
                                                          std::int64_t end);)
}  // namespace cpu

/// The same, queued on `stream` (a cudaStream_t); nothing waits. `gradient` is contiguous, and may be
/// `logits` where it is fp32.
namespace cuda {
void merge_statistics(const LogitRows& tile, const float* logits, float* losses, void* stream);
void logits_to_gradient(const LogitRows& tile, float l2wrap_scale, const float* logits, float* gradient,
                        void* stream);
void logits_to_gradient(const LogitRows& tile, float l2wrap_scale, const float* logits, Bf16* gradient,
                        void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
