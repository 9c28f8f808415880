// SPDX-License-Identifier: Apache-2.0
// What the chains of both passes do with a state, sixteen value rows a warp.
#pragma once

#include "kernels/wkv/chunked/state_rows.h"
#include "kernels/wkv7/chunked/stage.h"

namespace vrwkv::kernels::cuda::chunked::wkv7 {

/// rows diag(P_C)
template <class Stage>
__device__ __forceinline__ void decay(StateRows& rows, const Stage& stage, int warp, const Lane& lane) {
  for_each_pair(rows, warp, lane, [&](float* pair, int key, int /*value*/) {
    const Float2 p = stage.chunk_decay(key);
    pair[0] *= p.at[0];
    pair[1] *= p.at[1];
  });
}

/// U^T of these rows: (V^T M^T + S_0 alpha^T) T^T
template <class Stage>
__device__ __forceinline__ Sums removed_values(const Stage& stage, const StateFactors& state, int warp,
                                               const Lane& lane) {
  Sums u;
  multiply_add(u, left_transposed(stage.v.blocks[warp], lane), right_transposed(stage.m, lane));
  add_product(u, state, stage.alpha, lane);
  multiply_add(u, rounded(u), right(stage.inverse, lane));
  return u;
}

/// S_0 becomes S_C.
template <class Stage, class Factor>
__device__ __forceinline__ void advance(StateRows& rows, const Stage& stage, const Factor& u_transposed,
                                        const Left& v_transposed, int warp, const Lane& lane) {
  add_outer(rows, v_transposed, stage.kappa, lane);
  add_outer(rows, u_transposed, stage.beta, lane);
  decay(rows, stage, warp, lane);
}

}  // namespace vrwkv::kernels::cuda::chunked::wkv7
