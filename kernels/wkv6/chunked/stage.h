// SPDX-License-Identifier: Apache-2.0
// The chunked form of the recurrence, and what of a chunk lies in shared memory.
//
// A chunk is 16 tokens; a row is a token where a matrix has tokens. S is [value][key], S_0 before the chunk,
// S_C after it. P_t = d_1 .. d_t are the products of the decays (P_0 = 1), and "." is elementwise. The decays
// of RWKV-6 have no lower bound, so all is seen from the middle of the chunk, where no quotient of products
// has more than eight decays:
//
//   rho_t = r_t . P_{t-1} / P_8    kappa_t = k_t . P_8 / P_t    H_0 = S_0 diag(P_8)
//
// The recurrence then unrolls to, E being rho kappa^T below the diagonal and sum_j r_t,j u_j k_t,j on it,
//
//   Y = rho H_0^T + E V    H = H_0 + V^T kappa    S_C = H diag(P_16 / P_8)
//
// Only H waits for the chunk before; all else is known from the chunk alone. Backward, from dY and dS_C, with
// D = dS_C diag(P_16 / P_8), dE = dY V^T below the diagonal, and c_t = dy_t . v_t what it has on it:
//
//   dS_0   = (D + dY^T rho) diag(P_8)                 dV = E^T dY + kappa D^T
//   drho   = dY H_0 + dE kappa                        dr_t = drho_t . P_{t-1} / P_8 + c_t u . k_t
//   dkappa = V D    + dE^T rho                        dk_t = dkappa_t . P_8 / P_t   + c_t u . r_t
//   du     = sum over t of c_t r_t . k_t
//
//   dlogd_s = h + q + sum_{t>=s} x_t - rho_s . drho_s        x_t = rho_t . drho_t - kappa_t . dkappa_t
//   h = the column sums of D . H_0                           q = the sum over all t of kappa_t . (V D)_t
//
// where q cancels what x has of the state for t >= s. The operands of x and q are the bf16 ones that the
// products use: then the pairs of tokens that both come after s cancel exactly too.
//
// A decay is taken as at least e^-9.5, so that the quotients stay below 2^110; bf16 has fp32's range and its
// relative precision anywhere in it. Products that are not kept, on and above the diagonal, may be infinite,
// and are never multiplied by zero but replaced by it.
#pragma once

#include "kernels/wkv/chunked/tiles.h"
#include "kernels/wkv6/wkv6_backend.h"

namespace vrwkv::kernels::cuda::chunked::wkv6 {

/// Fetched as r, k, w; the first two are scaled in place.
struct ForwardStage {
  static constexpr bool kBackward = false;
  ElementTile rho, kappa, w;
  TokenTile v;
  Block e;
  alignas(16) float before_middle[kHead];  // P_8
  float after_middle[kHead];               // P_16 / P_8

  __device__ void set_quotient(int /*token*/, int /*key*/, const Float2& /*quotient*/) {}
};

struct BackwardStage : ForwardStage {
  static constexpr bool kBackward = true;
  TokenTile dy;
  FloatTile quotients;  // P_t / P_8

  __device__ void set_quotient(int token, int key, const Float2& quotient) {
    quotients.pair(token, key) = quotient;
  }
};

}  // namespace vrwkv::kernels::cuda::chunked::wkv6
