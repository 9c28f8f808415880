// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/wkv/chunked/key_rows.h"
#include "kernels/wkv6/chunked/backward.h"

namespace vrwkv::kernels::cuda::chunked::wkv6 {

/// A warp of the backward's gradients: those of r, k, w and u for sixteen keys.
class BackwardGradients {
 public:
  __device__ BackwardGradients(const BackwardArguments& arguments, const Task& task, BackwardShared& shared,
                               int warp)
      : arguments_(arguments), task_(task), shared_(shared), warp_(warp) {
    const std::int64_t head = device::block_index() % arguments.in.heads;
#pragma unroll
    for (int h = 0; h < 2; ++h) u_[h] = arguments.in.u[head * kHead + key(h)];
  }

  __device__ void run() {
    const int chunks = task_.chunks();
    for (int n = 0; n < chunks; ++n) {
      const BackwardStage& stage = shared_.stages[n % BackwardShared::kStages];
      Barriers::published_wait(n);
      Gradients gradients;
      Pairs pairs;
      multiply_state(stage, shared_.published[n % BackwardShared::kPublished], gradients, pairs);
      if (n + BackwardShared::kPublished < chunks) Barriers::consumed_arrive(n);
      const Left rho = left_transposed(stage.rho.blocks[warp_], lane_);
      const Left kappa = left_transposed(stage.kappa.blocks[warp_], lane_);
      const Left w = left_transposed(stage.w.blocks[warp_], lane_);
      float state_part[2], c[4];
      sum_state_part(gradients, kappa, state_part);
      take_diagonal(pairs, c);
      multiply_add(gradients.rho, kappa, transposed(rounded(pairs.by_token)));
      multiply_add(gradients.kappa, rho, transposed(rounded(pairs.by_earlier)));
      Sums dw;
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        sum_decays(h, state_part[h], KeyRow(rho, h), KeyRow(kappa, h), KeyRow(w, h), gradients, dw);
        unscale(stage, h, c, KeyRow(rho, h), KeyRow(kappa, h), gradients);
      }
      if (n + BackwardShared::kStages < chunks) Barriers::free_arrive(n);
      write(chunks - 1 - n, gradients, dw);
    }
    if (lane_.c2 != 0) return;
#pragma unroll
    for (int h = 0; h < 2; ++h)
      arguments_.of_inputs.u_parts[device::block_index() * std::int64_t{kHead} + key(h)] = du_[h];
  }

 private:
  /// Of rho and kappa at first; unscale() makes those of r and k of them.
  struct Gradients {
    Sums rho, kappa;
    Sums h;  // D^T H_0, of which the diagonal is wanted
  };
  /// dY V^T: a row a token of Y, and the transposed.
  struct Pairs {
    Sums by_token, by_earlier;
  };
  __device__ int key(int h) const { return warp_ * kChunk + 8 * h + lane_.g; }

  __device__ void multiply_state(const BackwardStage& stage, const Published& published, Gradients& to,
                                 Pairs& pairs) const {
#pragma unroll
    for (int values = 0; values < kBlocks; ++values) {
      const Left h0 = left_transposed(published.h0[values][warp_], lane_);
      const Left d = left_transposed(published.d[values][warp_], lane_);
      const Right dy = right_transposed(stage.dy.blocks[values], lane_);
      const Right v = right_transposed(stage.v.blocks[values], lane_);
      multiply_add(to.rho, h0, dy);
      multiply_add(to.kappa, d, v);
      multiply_add(to.h, d, transposed(h0));
      multiply_add(pairs.by_token, transposed(dy), v);
      multiply_add(pairs.by_earlier, transposed(v), dy);
    }
  }

  /// q + h of keys g and g + 8, while the gradient of kappa has no other part than the state's.
  __device__ void sum_state_part(Gradients& gradients, const Left& kappa, float (&sums)[2]) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const KeyRow k(kappa, h);
      float q = 0.0F;
#pragma unroll
      for (int i = 0; i < 4; ++i) q += k.at[i] * of_row(gradients.kappa, h, i);
      sums[h] = row_sum(q) + diagonal(gradients.h, h, lane_);
    }
  }

  /// c of the lane's tokens; of the pairs remain those of a token and an earlier one.
  __device__ void take_diagonal(Pairs& pairs, float (&c)[4]) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float of_g = diagonal(pairs.by_token, h, lane_);  // of token g + 8 h
#pragma unroll
      for (int x = 0; x < 2; ++x) c[2 * h + x] = device::shuffle(of_g, 4 * (lane_.c2 + x));
    }
    keep_lower(pairs.by_token, /*diagonal=*/false, lane_);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int earlier = lane_.g + i / 2 % 2 * 8, token = i / 4 * 8 + lane_.c2 + i % 2;
      if (earlier >= token) pairs.by_earlier.at[i / 4][i % 4] = 0.0F;
    }
  }

  /// x of key g + 8 h, its sums over later tokens, and dw.
  __device__ void sum_decays(int h, float state_part, const KeyRow& rho, const KeyRow& kappa, const KeyRow& w,
                             Gradients& gradients, Sums& dw) const {
    float of_rho[4], x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      of_rho[i] = rho.at[i] * of_row(gradients.rho, h, i);
      x[i] = of_rho[i] - kappa.at[i] * of_row(gradients.kappa, h, i);
    }
    add_later(x, lane_);
#pragma unroll
    for (int i = 0; i < 4; ++i) of_row(dw, h, i) = decay_slope(w.at[i]) * (state_part + x[i] - of_rho[i]);
  }

  /// dr and dk of key g + 8 h; adds to du.
  __device__ void unscale(const BackwardStage& stage, int h, const float (&c)[4], const KeyRow& rho,
                          const KeyRow& kappa, Gradients& gradients) {
    float du = 0.0F;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int token = token_of(i, lane_);
      const float quotient = stage.quotients.at(token, key(h));
      const float before = token == 0 ? device::reciprocal_fast(stage.before_middle[key(h)])
                                      : stage.quotients.at(token - 1, key(h));
      const float r = rho.at[i] * device::reciprocal_fast(before), k = kappa.at[i] * quotient;
      float &dr = of_row(gradients.rho, h, i), &dk = of_row(gradients.kappa, h, i);
      dr = dr * before + c[i] * u_[h] * k;
      dk = dk * device::reciprocal_fast(quotient) + c[i] * u_[h] * r;
      du += c[i] * r * k;
    }
    du_[h] += row_sum(du);
  }

  __device__ void write(int chunk, const Gradients& gradients, const Sums& dw) const {
    Block& room = shared_.rooms[kChainWarps + warp_];
    const TokenRows rows(task_, chunk, warp_, lane_);
    const auto store = [&](Bf16* to, const Sums& x) {
      store_transposed(to, rows, rounded(x), room, lane_);
      device::warp_barrier();
    };
    store(arguments_.of_inputs.r, gradients.rho);
    store(arguments_.of_inputs.k, gradients.kappa);
    store(arguments_.of_inputs.w, dw);
  }

  const BackwardArguments& arguments_;
  const Task& task_;
  BackwardShared& shared_;
  const int warp_;
  const Lane lane_;
  float u_[2];
  float du_[2] = {};
};

}  // namespace vrwkv::kernels::cuda::chunked::wkv6
