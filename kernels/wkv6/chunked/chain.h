// SPDX-License-Identifier: Apache-2.0
// What the chains of both passes do with a state, sixteen value rows a warp.
#pragma once

#include "kernels/wkv/chunked/state_rows.h"
#include "kernels/wkv6/chunked/stage.h"

namespace vrwkv::kernels::cuda::chunked::wkv6 {

/// rows diag(by)
__device__ __forceinline__ void scale(StateRows& rows, const float (&by)[kHead], int warp, const Lane& lane) {
  for_each_pair(rows, warp, lane, [&](float* pair, int key, int /*value*/) {
    const auto factors = *reinterpret_cast<const Float2*>(&by[key]);
    pair[0] *= factors.at[0];
    pair[1] *= factors.at[1];
  });
}

/// H_0 becomes S_C.
__device__ __forceinline__ void advance(StateRows& rows, const ForwardStage& stage, const Left& v_transposed,
                                        int warp, const Lane& lane) {
  add_outer(rows, v_transposed, stage.kappa, lane);
  scale(rows, stage.after_middle, warp, lane);
}

}  // namespace vrwkv::kernels::cuda::chunked::wkv6
