// SPDX-License-Identifier: Apache-2.0
// The chunked form of the recurrence, and what of a chunk lies in shared memory.
//
// clang-format off
// A chunk is 16 tokens; a row is a token where a matrix has tokens. S is [value][key], S_0 before the chunk,
// S_C after it. With P_t = d_1 .. d_t the products of the decays (P_0 = 1), "." elementwise and
//
//   alpha_t = a_t . P_{t-1}    rho_t = r_t . P_t    beta_t = b_t / P_t    kappa_t = k_t / P_t
//
// the recurrence unrolls to S_t = (S_0 + sum_{s<=t} u_s beta_s^T + v_s kappa_s^T) diag(P_t) with
// u_t = S_{t-1} a_t, and so, L and M strictly lower triangular, G and E lower triangular:
//
//   L = alpha beta^T    M = alpha kappa^T    G = rho beta^T    E = rho kappa^T    T = (I - L)^-1
//   U   = T (alpha S_0^T + M V)
//   Y   = rho S_0^T + G U + E V
//   S_C = (S_0 + U^T beta + V^T kappa) diag(P_C)
//
// Only U and S_C wait for the chunk before; all else is known from the chunk alone. Backward, from dY and
// dS_C, with D = dS_C diag(P_C):
//
//   Z    = T^T (G^T dY + beta D^T)
//   dS_0 = D + Z^T alpha + dY^T rho
//   dV   = E^T dY + M^T Z + kappa D^T
//   dL = Z U^T    dM = Z V^T    dG = dY U^T    dE = dY V^T           triangular as L, M, G, E are
//   dalpha = Z S_0  + dL beta    + dM kappa            da_t = dalpha_t . P_{t-1}
//   drho   = dY S_0 + dG beta    + dE kappa            dr_t = drho_t . P_t
//   dbeta  = U D    + dL^T alpha + dG^T rho            db_t = dbeta_t / P_t
//   dkappa = V D    + dM^T alpha + dE^T rho            dk_t = dkappa_t / P_t
//
//   dlogd_s = e + sum_{t>=s} x_t - alpha_s . dalpha_s      e = the column sums of dS_C . S_C
//   x_t = alpha_t . dalpha_t + rho_t . drho_t - beta_t . dbeta_t - kappa_t . dkappa_t
//
// With h the column sums of D . S_0, and sums over all t of the chunk, e is h + q of it, and h + p of the
// chunk after it:
//
//   q = sum beta_t . (U D)_t + kappa_t . (V D)_t      p = sum alpha_t . (Z S_0)_t + rho_t . (dY S_0)_t
//
// q cancels what x has of the state for t >= s. The operands of x and q are the bf16 ones that the products
// use: then the pairs of tokens that both come after s cancel exactly too. But where states last, dw is
// mostly h, and its error the rounding of D and S_0, which is another one in the chunk after. So P_C / 2 is
// the weight of h + p: the mean of both where decays are near one, h + q where nothing of S_0 is left.
//
// Errors of U and Z add up in the states for as long as these last. So T X is made as X + (T - I) X, of which
// only T - I and the X beside it are rounded, and states take U and Z split into two bf16 numbers (but for the
// second state of a pair in the backward, which is rounded at once).
//
// Why the quotients do no harm: a decay is at least 0.545 with raw decays, and taken as at least e^-4 with
// the others, so 1 / P_t stays below 2^93; bf16 has fp32's range and its relative precision anywhere in it,
// and what is kept of a product is of ordinary size. Products that are not kept, above the diagonals, are
// large but finite, and never multiplied by zero but replaced by it.
// clang-format on
#pragma once

#include "kernels/wkv/chunked/roles.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels::cuda::chunked::wkv7 {

/// What both passes need of a chunk. The operands are fetched as r, a, b, k and scaled in place.
struct Operands {
  ElementTile rho, alpha, beta, kappa;
  TokenTile v;
  Block m, g, e;
  Block inverse;  // (T - I)^T
};

/// L, below the diagonal; what else there is nobody reads. For the warp that prepares.
struct Scratch {
  static constexpr int kRow = kChunk + 4;  // floats: four in each of eight rows meet all banks once
  alignas(16) float l[kChunk * kRow];
};

struct ForwardStage : Operands {
  static constexpr bool kBackward = false;
  union {
    ElementTile w;  // until the decays are made
    Scratch scratch;
  };
  alignas(16) float last_decay[kHead];  // P_C

  __device__ void set_decay(int token, int key, const Float2& p) {
    if (token == kChunk - 1) *reinterpret_cast<Float2*>(&last_decay[key]) = p;
  }
  __device__ Float2 chunk_decay(int key) const { return *reinterpret_cast<const Float2*>(&last_decay[key]); }
};

struct BackwardStage : Operands {
  static constexpr bool kBackward = true;
  ElementTile w;
  TokenTile dy;
  union {
    Scratch scratch;
    Block pair_gradients[kGradientWarps];  // dL, dM, dG, dE
  };
  FloatTile p;  // P_1 .. P_16

  __device__ void set_decay(int token, int key, const Float2& value) { p.pair(token, key) = value; }
  __device__ Float2 chunk_decay(int key) const { return p.pair(kChunk - 1, key); }
};

}  // namespace vrwkv::kernels::cuda::chunked::wkv7
