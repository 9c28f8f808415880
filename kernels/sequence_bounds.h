// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vrwkv::kernels {

/// (S + 1) int64 on `device`: where the sequences packed along T begin, then T. The copy is queued on the
/// current stream; nothing waits for it. All operators of a micro-batch are given one list, so a thread's
/// calls in a row with the same tensor share one copy; an older one is made again.
/// @param sequence_starts  (S) int64, contiguous, on the CPU.
at::Tensor sequence_bounds(const at::Tensor& sequence_starts, std::int64_t tokens, at::Device device);

}  // namespace vrwkv::kernels
