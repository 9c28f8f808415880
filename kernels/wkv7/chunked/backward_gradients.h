// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/wkv/chunked/key_rows.h"
#include "kernels/wkv7/chunked/backward.h"

namespace vrwkv::kernels::cuda::chunked::wkv7 {

/// A warp of the backward's gradients: those of r, w, k, a, b for sixteen keys.
template <class Shared, DecayInput kDecay>
class BackwardGradients {
 public:
  __device__ BackwardGradients(const BackwardArguments& arguments, const Task& task, Shared& shared, int warp)
      : out_(arguments.of_inputs), task_(task), shared_(shared), warp_(warp) {}

  __device__ void run() {
    const int chunks = task_.chunks();
    float after[2] = {};
    for (int n = 0; n < chunks; ++n) {
      const int chunk = chunks - 1 - n;
      BackwardStage& stage = shared_.stages[n % Shared::kStages];
      Bar::published_wait(n);
      Gradients gradients;
      const Sums pairs = multiply_state(stage, shared_.published[n % Shared::kPublished], gradients);
      if (n + Shared::kPublished < chunks) Bar::consumed_arrive(n);
      store(stage.pair_gradients[warp_], rounded(pairs), lane_);
      Bar::pair_gradients_wait();

      const Factors factors(stage, warp_, lane_);
      float e[2];
      sum_state_parts(stage, gradients, factors, /*is_last=*/n == 0, after, e);
      multiply_pairs(stage.pair_gradients, factors, gradients);
      Sums dw;
#pragma unroll
      for (int h = 0; h < 2; ++h) finish_key(stage, h, e[h], factors, gradients, dw);
      if (n + Shared::kStages < chunks) Bar::free_arrive(n);
      write(chunk, gradients, dw);
    }
  }

 private:
  using Bar = Barriers<Shared>;
  enum PairGradient { kDl, kDm, kDg, kDe };

  /// The warp's keys of the chunk's operands, transposed.
  struct Factors {
    __device__ Factors(const BackwardStage& stage, int warp, const Lane& lane)
        : alpha(left_transposed(stage.alpha.blocks[warp], lane)),
          rho(left_transposed(stage.rho.blocks[warp], lane)),
          beta(left_transposed(stage.beta.blocks[warp], lane)),
          kappa(left_transposed(stage.kappa.blocks[warp], lane)),
          w(left_transposed(stage.w.blocks[warp], lane)) {}
    Left alpha, rho, beta, kappa, w;
  };

  /// Of the scaled operands at first; finish_key() makes those of a, r, b, k of them.
  struct Gradients {
    Sums alpha, rho, beta, kappa;
    Sums h;  // D^T S_0, of which the diagonal is wanted
  };

  __device__ int key(int h) const { return warp_ * kChunk + 8 * h + lane_.g; }

  /// The products with the states, and this warp's one of dL, dM, dG, dE.
  __device__ Sums multiply_state(const BackwardStage& stage, const Published& published,
                                 Gradients& to) const {
    const bool of_z = warp_ == kDl || warp_ == kDm, with_v = warp_ == kDm || warp_ == kDe;
    Sums pairs;
#pragma unroll
    for (int values = 0; values < kBlocks; ++values) {
      const Left s0 = left_transposed(published.s0[values][warp_], lane_);
      const Left d = left_transposed(published.d[values][warp_], lane_);
      const Right z = right(published.z[values], lane_), u = right(published.u[values], lane_);
      const Right dy = right_transposed(stage.dy.blocks[values], lane_);
      const Right v = right_transposed(stage.v.blocks[values], lane_);
      multiply_add(to.alpha, s0, z);
      multiply_add(to.rho, s0, dy);
      multiply_add(to.beta, d, u);
      multiply_add(to.kappa, d, v);
      multiply_add(to.h, d, transposed(s0));
      multiply_add(pairs, transposed(chosen(of_z, z, dy)), chosen(with_v, v, u));
    }
    keep_lower(pairs, /*diagonal=*/warp_ == kDg || warp_ == kDe, lane_);
    return pairs;
  }

  __device__ static Right chosen(bool first, const Right& x, const Right& y) {
    Right z;
#pragma unroll
    for (int i = 0; i < 4; ++i) z.at[i] = first ? x.at[i] : y.at[i];
    return z;
  }

  __device__ void multiply_pairs(const Block (&of)[kGradientWarps], const Factors& x, Gradients& to) const {
    multiply_add(to.alpha, x.beta, right_transposed(of[kDl], lane_));
    multiply_add(to.rho, x.beta, right_transposed(of[kDg], lane_));
    multiply_add(to.beta, x.alpha, right(of[kDl], lane_));
    multiply_add(to.kappa, x.alpha, right(of[kDm], lane_));
    multiply_add(to.alpha, x.kappa, right_transposed(of[kDm], lane_));
    multiply_add(to.rho, x.kappa, right_transposed(of[kDe], lane_));
    multiply_add(to.beta, x.rho, right(of[kDg], lane_));
    multiply_add(to.kappa, x.rho, right(of[kDe], lane_));
  }

  /// e of keys g and g + 8, while the gradients have no other part than the state's. `after` is h + p of the
  /// chunk after, if there is one, and becomes this one's.
  __device__ void sum_state_parts(const BackwardStage& stage, Gradients& gradients, const Factors& factors,
                                  bool is_last, float (&after)[2], float (&e)[2]) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const KeyRow al(factors.alpha, h), rh(factors.rho, h), be(factors.beta, h), ka(factors.kappa, h);
      float p = 0.0F, q = 0.0F;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        p += al.at[i] * of_row(gradients.alpha, h, i) + rh.at[i] * of_row(gradients.rho, h, i);
        q += be.at[i] * of_row(gradients.beta, h, i) + ka.at[i] * of_row(gradients.kappa, h, i);
      }
      const float of_states = diagonal(gradients.h, h, lane_), own = of_states + row_sum(q);
      const float weight = is_last ? 0.0F : 0.5F * stage.p.at(kChunk - 1, key(h));
      e[h] = own + weight * (after[h] - own);
      after[h] = of_states + row_sum(p);
    }
  }

  /// Key g + 8 h: x and its sums over later tokens, dw, and the gradients of a, r, b, k.
  __device__ void finish_key(const BackwardStage& stage, int h, float e, const Factors& factors,
                             Gradients& gradients, Sums& dw) const {
    const KeyRow al(factors.alpha, h), rh(factors.rho, h), be(factors.beta, h), ka(factors.kappa, h);
    const KeyRow w(factors.w, h);
    float of_alpha[4], x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float &da = of_row(gradients.alpha, h, i), &dr = of_row(gradients.rho, h, i);
      float &db = of_row(gradients.beta, h, i), &dk = of_row(gradients.kappa, h, i);
      of_alpha[i] = al.at[i] * da;
      x[i] = of_alpha[i] + rh.at[i] * dr - be.at[i] * db - ka.at[i] * dk;
      const int token = token_of(i, lane_);
      const float p = stage.p.at(token, key(h)), inverse = device::reciprocal_fast(p);
      da *= token == 0 ? 1.0F : stage.p.at(token - 1, key(h));
      dr *= p;
      db *= inverse;
      dk *= inverse;
    }
    add_later(x, lane_);
#pragma unroll
    for (int i = 0; i < 4; ++i) of_row(dw, h, i) = decay_slope<kDecay>(w.at[i]) * (e + x[i] - of_alpha[i]);
  }

  __device__ void write(int chunk, const Gradients& gradients, const Sums& dw) const {
    Block& room = shared_.rooms[kChainWarps + warp_];
    const TokenRows rows(task_, chunk, warp_, lane_);
    const auto store = [&](Bf16* to, const Sums& x) {
      store_transposed(to, rows, rounded(x), room, lane_);
      device::warp_barrier();
    };
    store(out_.a, gradients.alpha);
    store(out_.b, gradients.beta);
    store(out_.w, dw);
    store(out_.r, gradients.rho);
    store(out_.k, gradients.kappa);
  }

  const Wkv7InputGradients<Bf16>& out_;
  const Task& task_;
  Shared& shared_;
  const int warp_;
  const Lane lane_;
};

}  // namespace vrwkv::kernels::cuda::chunked::wkv7
