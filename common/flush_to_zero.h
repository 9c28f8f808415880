// SPDX-License-Identifier: Apache-2.0
#pragma once

#if defined(__SSE__)
#include <pmmintrin.h>
#include <xmmintrin.h>
#endif

namespace vrwkv {

/// Makes this thread treat denormal numbers as zero. Decaying gradients turn into denormals and slow a CPU
/// step from seconds to minutes; every thread that computes calls this first.
inline void flush_denormals_to_zero() noexcept {
#if defined(__SSE__)
  _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
  _MM_SET_DENORMALS_ZERO_MODE(_MM_DENORMALS_ZERO_ON);
#endif
}

}  // namespace vrwkv
