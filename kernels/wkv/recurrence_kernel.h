// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace vrwkv::kernels {

/// The only one of the chunked kernels.
inline constexpr std::int64_t kChunkedHeadSize = 64;

/// Whether a chunked kernel can compute a call, and whether it does so unless the user says otherwise. A CPU
/// has one kernel for all calls and wishes.
enum class ChunkedFit { kOnCpu, kNone, kPossible, kBest };

/// How a GPU computes a recurrence.
struct RecurrenceKernel {
  bool chunked = false;      // on its tensor cores, in chunks; or token by token in fp32: the fallback
  bool self_checks = false;  // chunked and not asked for: its first results are compared with the fallback's
};

/// What the environment variable VRWKV_WKV asks for, "fallback" or "chunked"; where it is not set, the
/// chunked kernel if it fits the call best.
/// @throws ConfigError "where: ..." when it says something else, also on a CPU, or asks for chunks where they
/// do not fit.
RecurrenceKernel recurrence_kernel(const char* where, ChunkedFit fit);

}  // namespace vrwkv::kernels
