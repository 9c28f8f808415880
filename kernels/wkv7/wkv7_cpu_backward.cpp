// SPDX-License-Identifier: Apache-2.0
// With G_t the gradient of S_t, later tokens included, and e_t = G_t b_t:
//
//     G_t  = G_{t+1} diag(d_{t+1}) + e_{t+1} a_{t+1}ᵀ + dy_t r_tᵀ
//     dr_t = S_tᵀ dy_t         dk_t = G_tᵀ v_t        dv_t = G_t k_t
//     da_t = S_{t-1}ᵀ e_t      db_t = G_tᵀ (S_{t-1} a_t)
//     dw_t = -exp(w_t) d_t (.) (column sums of G_t (.) S_{t-1})
//
// A chunk's states are computed again from the one kept before it; then one sweep a token, backwards, reads
// S_{t-1} once and turns G_t into G_{t-1}, summing what both tokens need. States and G are [value][key] here:
// of the seven sums five run over values, which adds whole vectors; only dv and e add lanes.
#include "kernels/wkv7/wkv7_cpu_sequence.h"
#include "kernels/wkv7/wkv7_cpu_tasks.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// The rows of a token; those of gradients are written.
struct Token {
  const float *r, *decay, *slope, *k, *v, *a, *b, *dy, *state_a;
  float *dr, *dw, *dk, *dv, *da, *db;
};

/// after = the state with the token brought in; dr is complete.
template <int kVectors>
void advance(const Token& token, std::int64_t n, std::int64_t column, const float* before, float* after) {
  Float d[kVectors], k[kVectors], b[kVectors], dr[kVectors] = {};
  for (int x = 0; x < kVectors; ++x) {
    d[x] = load(token.decay + column + x * kLanes);
    k[x] = load(token.k + column + x * kLanes);
    b[x] = load(token.b + column + x * kLanes);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const Float v = broadcast(token.v[i]), sa = broadcast(token.state_a[i]), dy = broadcast(token.dy[i]);
    for (int x = 0; x < kVectors; ++x) {
      const std::int64_t place = i * n + column + x * kLanes;
      const Float s = load(before + place) * d[x] + (sa * b[x] + v * k[x]);
      store(after + place, s);
      dr[x] += s * dy;
    }
  }
  for (int x = 0; x < kVectors; ++x) store(token.dr + column + x * kLanes, dr[x]);
}

/// Rows of lanes whose sums are dv and e of a token: n rows of kLanes each.
struct LaneSums {
  float *v, *e;
};

/// Adds the output's part of the sequence's last token to G.
void begin_with(const Token& token, std::int64_t n, float* gradient, const LaneSums& sums) {
  for (std::int64_t i = 0; i < n; ++i) {
    Float sum_v{}, sum_e{};
    for (std::int64_t j = 0; j < n; j += kLanes) {
      const Float g = load(gradient + i * n + j) + load(token.r + j) * token.dy[i];
      store(gradient + i * n + j, g);
      sum_v += g * load(token.k + j);
      sum_e += g * load(token.b + j);
    }
    store(sums.v + i * kLanes, sum_v);
    store(sums.e + i * kLanes, sum_e);
  }
}

/// Turns G of `token` into G of the token `before` it; the token's dw, dk, da and db are complete, and so is
/// G of `before`, with the lane sums of its dv and e. `e` and `state` are e_t and S_{t-1}.
template <int kVectors>
void sweep(const Token& token, const Token& before, std::int64_t n, std::int64_t column, const float* state,
           const float* e, float* gradient, const LaneSums& sums) {
  Float d[kVectors], a[kVectors], r[kVectors], k[kVectors], b[kVectors];
  Float dw[kVectors] = {}, dk[kVectors] = {}, da[kVectors] = {}, db[kVectors] = {};
  for (int x = 0; x < kVectors; ++x) {
    d[x] = load(token.decay + column + x * kLanes);
    a[x] = load(token.a + column + x * kLanes);
    r[x] = load(before.r + column + x * kLanes);
    k[x] = load(before.k + column + x * kLanes);
    b[x] = load(before.b + column + x * kLanes);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const Float v_i = broadcast(token.v[i]), sa_i = broadcast(token.state_a[i]), e_i = broadcast(e[i]);
    const Float dy_i = broadcast(before.dy[i]);
    Float sum_v = column == 0 ? Float{} : load(sums.v + i * kLanes);
    Float sum_e = column == 0 ? Float{} : load(sums.e + i * kLanes);
    for (int x = 0; x < kVectors; ++x) {
      const std::int64_t place = i * n + column + x * kLanes;
      Float g = load(gradient + place);
      const Float s = load(state + place);
      dw[x] += g * s;
      dk[x] += g * v_i;
      db[x] += g * sa_i;
      da[x] += s * e_i;
      g = g * d[x] + (e_i * a[x] + dy_i * r[x]);
      store(gradient + place, g);
      sum_v += g * k[x];
      sum_e += g * b[x];
    }
    store(sums.v + i * kLanes, sum_v);
    store(sums.e + i * kLanes, sum_e);
  }
  for (int x = 0; x < kVectors; ++x) {
    store(token.dw + column + x * kLanes, dw[x] * load(token.slope + column + x * kLanes));
    store(token.dk + column + x * kLanes, dk[x]);
    store(token.da + column + x * kLanes, da[x]);
    store(token.db + column + x * kLanes, db[x]);
  }
}

void add_lanes(const LaneSums& sums, std::int64_t n, float* dv, float* e) {
  for (std::int64_t i = 0; i < n; i += kLanes) {
    store(dv + i, row_sums(sums.v + i * kLanes));
    store(e + i, row_sums(sums.e + i * kLanes));
  }
}

/// One head of one sequence, from its last token to its first.
class Backward {
 public:
  Backward(const Wkv7Inputs& in, const Wkv7Kept& kept, const Wkv7OutputGradients& gradients_in,
           const Wkv7InputGradients& gradients_out, std::int64_t task, float* scratch)
      : in_(in),
        kept_(kept),
        gradients_in_(gradients_in),
        gradients_out_(gradients_out),
        sequence_(in, task),
        n_(in.head_size),
        states_(scratch),
        gradient_(states_ + kWkv7Chunk * n_ * n_),
        sums_{.v = gradient_ + n_ * n_, .e = gradient_ + n_ * n_ + n_ * kLanes},
        decays_(sums_.e + n_ * kLanes),
        slopes_(decays_ + kWkv7Chunk * n_),
        e_(slopes_ + kWkv7Chunk * n_),
        zeros_(e_ + n_) {
    for (std::int64_t j = 0; j < n_; ++j) zeros_[j] = 0.0F;
  }

  /// On entry G is the final state's gradient, on return the initial state's.
  float* gradient() { return gradient_; }

  void run() {
    const std::int64_t last = sequence_.end - 1;
    begin_with(token(last, (last - sequence_.begin) % kWkv7Chunk), n_, gradient_, sums_);
    add_lanes(sums_, n_, gradients_out_.v + sequence_.row(last), e_);
    for (std::int64_t chunk = sequence_.chunks() - 1; chunk >= 0; --chunk) {
      recompute(chunk);
      for (std::int64_t q = sequence_.chunk_tokens(chunk) - 1; q >= 0; --q) step_back(chunk, q);
    }
  }

 private:
  /// The decays and slopes are those of the chunk at hand: place q of them.
  Token token(std::int64_t t, std::int64_t q) const {
    const std::int64_t row = sequence_.row(t);
    return {.r = in_.r + row,
            .decay = decays_ + q * n_,
            .slope = slopes_ + q * n_,
            .k = in_.k + row,
            .v = in_.v + row,
            .a = in_.a + row,
            .b = in_.b + row,
            .dy = gradients_in_.y + row,
            .state_a = kept_.state_a + row,
            .dr = gradients_out_.r + row,
            .dw = gradients_out_.w + row,
            .dk = gradients_out_.k + row,
            .dv = gradients_out_.v + row,
            .da = gradients_out_.a + row,
            .db = gradients_out_.b + row};
  }

  const float* state_before(std::int64_t chunk, std::int64_t q) const {
    return q == 0 ? kept_.chunk_states + sequence_.chunk_state(chunk) : states_ + (q - 1) * n_ * n_;
  }

  void recompute(std::int64_t chunk) {
    const std::int64_t first = sequence_.chunk_begin(chunk);
    const std::int64_t tokens = sequence_.chunk_tokens(chunk);
    for (std::int64_t q = 0; q < tokens; ++q) {
      decays_and_slopes(in_.decay_input, in_.w + sequence_.row(first + q), n_, decays_ + q * n_,
                        slopes_ + q * n_);
    }
    for (std::int64_t q = 0; q < tokens; ++q) {
      const Token here = token(first + q, q);
      for_each_panel(n_, [&](auto vectors, std::int64_t column) {
        advance<decltype(vectors)::value>(here, n_, column, state_before(chunk, q), states_ + q * n_ * n_);
      });
    }
  }

  void step_back(std::int64_t chunk, std::int64_t q) {
    const std::int64_t t = sequence_.chunk_begin(chunk) + q;
    const bool has_before = t > sequence_.begin;
    if (chunk > 0) prefetch(chunk - 1, q);
    const Token here = token(t, q);
    Token before = token(has_before ? t - 1 : t, q);
    if (!has_before) before.dy = zeros_;
    for_each_panel(n_, [&](auto vectors, std::int64_t column) {
      sweep<decltype(vectors)::value>(here, before, n_, column, state_before(chunk, q), e_, gradient_, sums_);
    });
    if (has_before) add_lanes(sums_, n_, before.dv, e_);
  }

  /// Fetches place q of a coming chunk, and its part of the chunk's state.
  void prefetch(std::int64_t chunk, std::int64_t q) const {
    const std::int64_t row = sequence_.row(sequence_.chunk_begin(chunk) + q);
    for (const float* input : {in_.r, in_.w, in_.k, in_.v, in_.a, in_.b, gradients_in_.y})
      prefetch_row(input + row, n_);
    prefetch_row(kept_.state_a + row, n_);
    const Wkv7InputGradients& out = gradients_out_;
    for (const float* output : {out.r, out.w, out.k, out.v, out.a, out.b})
      prefetch_row_for_writing(output + row, n_);
    const std::int64_t part = n_ * n_ / kWkv7Chunk;
    prefetch_row(kept_.chunk_states + sequence_.chunk_state(chunk) + q * part, part);
  }

  const Wkv7Inputs& in_;
  const Wkv7Kept& kept_;
  const Wkv7OutputGradients& gradients_in_;
  const Wkv7InputGradients& gradients_out_;
  Sequence sequence_;
  std::int64_t n_;
  float* states_;    // after each token of the chunk at hand
  float* gradient_;  // G
  LaneSums sums_;
  float* decays_;
  float* slopes_;
  float* e_;
  float* zeros_;
};

}  // namespace

void backward_task(const Wkv7Inputs& in, const Wkv7Kept& kept, const Wkv7OutputGradients& gradients_in,
                   const Wkv7InputGradients& gradients_out, std::int64_t task, float* scratch) {
  const std::int64_t numel = in.head_size * in.head_size;
  Backward backward(in, kept, gradients_in, gradients_out, task, scratch);
  for (std::int64_t i = 0; i < numel; ++i) {
    backward.gradient()[i] =
        gradients_in.final_state == nullptr ? 0.0F : gradients_in.final_state[task * numel + i];
  }
  backward.run();
  if (gradients_out.initial_state == nullptr) return;
  for (std::int64_t i = 0; i < numel; ++i)
    gradients_out.initial_state[task * numel + i] = backward.gradient()[i];
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
