// SPDX-License-Identifier: Apache-2.0
// With G_t the gradient of S_t, c_t = v_t . dy_t and g_t = sum_j r_t,j u_j k_t,j:
//
//     dr_t = S_{t-1}ᵀ dy_t + c_t u (.) k_t      dk_t = G_tᵀ v_t + c_t u (.) r_t
//     dv_t = G_t k_t + g_t dy_t                 dw_t = -exp(w_t) d_t (.) (column sums of G_t (.) S_{t-1})
//     du = sum_t c_t r_t (.) k_t                G_{t-1} = G_t diag(d_t) + dy_t r_tᵀ
//
// The elements of S and of G do not depend on each other, so a block of them stays in registers while all
// tokens of a chunk pass: first forwards, which leaves the states before each token in the nearest cache,
// then backwards. Both are [value][key]: sums over values add whole vectors; only those of dv add lanes.
#include "kernels/cpu/prefetch.h"
#include "kernels/wkv6/wkv6_cpu_rows.h"
#include "kernels/wkv6/wkv6_cpu_tasks.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

enum Kind { kR, kDecay, kSlope, kK, kV, kDy, kDr, kDk, kDv, kDw, kKinds };
using Rows = Wkv6Rows<kKinds>;

/// Vectors of a block, one a token: (kWkv6Chunk, kBlockRows, kLanes).
struct TokenBlocks {
  float* of(std::int64_t token, int row = 0) const { return first + (token * kBlockRows + row) * kLanes; }
  float* first;
};

/// Leaves the block's states before each token in `before`, and adds the block's part of dr. `state` is the
/// block at the chunk's beginning.
void pass_forwards(const Rows& rows, std::int64_t tokens, std::int64_t value, std::int64_t key,
                   const float* state, const TokenBlocks& before) {
  Wkv6Block s = load_block(state, rows.n);
  for (std::int64_t q = 0; q < tokens; ++q) {
    const float *v = rows.of(q, kV) + value, *dy = rows.of(q, kDy) + value;
    const Float decay = load(rows.of(q, kDecay) + key), k = load(rows.of(q, kK) + key);
    Float dr = load(rows.of(q, kDr) + key);
#pragma GCC unroll 16
    for (int i = 0; i < kBlockRows; ++i) {
      store(before.of(q, i), s.of[i]);
      dr += s.of[i] * dy[i];
      s.of[i] = s.of[i] * decay + k * v[i];
    }
    store(rows.of(q, kDr) + key, dr);
  }
}

/// Turns the block of G after the chunk into that before it, and adds the block's part of dk, of dw without
/// its slope, and, lane by lane, of dv.
void pass_backwards(const Rows& rows, std::int64_t tokens, std::int64_t value, std::int64_t key,
                    const TokenBlocks& before, float* gradient, const TokenBlocks& dv) {
  Wkv6Block g = load_block(gradient, rows.n);
  for (std::int64_t q = tokens - 1; q >= 0; --q) {
    const float *v = rows.of(q, kV) + value, *dy = rows.of(q, kDy) + value;
    const Float decay = load(rows.of(q, kDecay) + key), k = load(rows.of(q, kK) + key);
    const Float r = load(rows.of(q, kR) + key);
    Float dk = load(rows.of(q, kDk) + key), dw = load(rows.of(q, kDw) + key);
#pragma GCC unroll 16
    for (int i = 0; i < kBlockRows; ++i) {
      dw += g.of[i] * load(before.of(q, i));
      dk += g.of[i] * v[i];
      store(dv.of(q, i), load(dv.of(q, i)) + g.of[i] * k);
      g.of[i] = g.of[i] * decay + r * dy[i];
    }
    store(rows.of(q, kDk) + key, dk);
    store(rows.of(q, kDw) + key, dw);
  }
  store_block(gradient, rows.n, g);
}

void copy(const float* from, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; i += kLanes) store(to + i, load(from + i));
}

void fill_with_zeros(float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) store(to + i, Float{});
}

/// The heads of a task side by side, from the sequence's last chunk to its first.
template <class Element>
class Backward {
 public:
  Backward(const Wkv6Inputs<Element>& in, const Wkv6OutputGradients<Element>& gradients_in,
           const Wkv6InputGradients<Element>& gradients_out, float* u_parts, const Wkv6Task& task,
           float* scratch)
      : in_(in),
        gradients_in_(gradients_in),
        out_(gradients_out),
        u_parts_(u_parts),
        place_(in, task),
        piece_gradients_(task.piece_states),
        numel_(place_.n * place_.n),
        gradients_(scratch),
        rows_{.first = gradients_ + place_.heads * numel_, .n = place_.n},
        before_{.first = rows_.of_head(place_.heads).first},
        dv_{.first = before_.of(kWkv6Chunk)} {}

  void run() {
    for (std::int64_t head = 0; head < place_.heads; ++head) start(head);
    const std::int64_t last = (place_.end - place_.begin - 1) / kWkv6Chunk;
    for (std::int64_t t = place_.begin + last * kWkv6Chunk; t >= place_.begin; t -= kWkv6Chunk) {
      const std::int64_t tokens = place_.chunk_tokens(t);
      load_chunk(t, tokens);
      for (std::int64_t head = 0; head < place_.heads; ++head) {
        prefetch_next(t, head);
        pass_head(t, tokens, head);
        finish_head(t, tokens, head);
      }
      store_rows(place_, rows_, kDr, t, tokens, out_.r);
      store_rows(place_, rows_, kDk, t, tokens, out_.k);
      store_rows(place_, rows_, kDv, t, tokens, out_.v);
      store_rows(place_, rows_, kDw, t, tokens, out_.w);
    }
    if (out_.initial_state == nullptr || place_.begin > place_.sequence_begin) return;
    for (std::int64_t head = 0; head < place_.heads; ++head)
      copy(gradient(head), numel_, out_.initial_state + place_.state(head));
  }

 private:
  /// G of a head.
  float* gradient(std::int64_t head) const { return gradients_ + head * numel_; }
  const float* kept_state(std::int64_t t, std::int64_t head) const {
    return static_cast<const float*>(gradients_in_.kept_states) + place_.kept_state(t, head);
  }

  void start(std::int64_t head) {
    if (place_.end < place_.sequence_end) {
      copy(piece_gradients_ + place_.piece_state(place_.end, head), numel_, gradient(head));
    } else if (gradients_in_.final_state == nullptr) {
      fill_with_zeros(gradient(head), numel_);
    } else {
      copy(gradients_in_.final_state + place_.state(head), numel_, gradient(head));
    }
  }

  void load_chunk(std::int64_t t, std::int64_t tokens) {
    load_rows(place_, in_.r, t, tokens, rows_, kR);
    load_rows(place_, in_.k, t, tokens, rows_, kK);
    load_rows(place_, in_.v, t, tokens, rows_, kV);
    load_rows(place_, gradients_in_.y, t, tokens, rows_, kDy);
    for_each_vector(place_, in_.w, t, tokens,
                    [&](std::int64_t head, std::int64_t q, std::int64_t j, Float w) {
                      const Rows rows = rows_.of_head(head);
                      const Float rate = exp(w), decay = exp(-rate);
                      store(rows.of(q, kDecay) + j, decay);
                      store(rows.of(q, kSlope) + j, -(decay * rate));
                      for (const Kind sums : {kDr, kDk, kDw}) store(rows.of(q, sums) + j, Float{});
                    });
  }

  /// The state's and G's part of all gradients of the chunk: dr, dk, dv, and dw without its slope.
  void pass_head(std::int64_t t, std::int64_t tokens, std::int64_t head) {
    const Rows rows = rows_.of_head(head);
    const float* state = kept_state(t, head);
    for (std::int64_t value = 0; value < rows.n; value += kBlockRows) {
      fill_with_zeros(dv_.of(0), tokens * kBlockRows * kLanes);
      for (std::int64_t key = 0; key < rows.n; key += kLanes) {
        pass_forwards(rows, tokens, value, key, state + value * rows.n + key, before_);
        pass_backwards(rows, tokens, value, key, before_, gradient(head) + value * rows.n + key, dv_);
      }
      for (std::int64_t q = 0; q < tokens; ++q)
        for (int i = 0; i < kBlockRows; i += kLanes)
          store(rows.of(q, kDv) + value + i, row_sums(dv_.of(q, i)));
    }
  }

  void finish_head(std::int64_t t, std::int64_t tokens, std::int64_t head) {
    float* du = u_parts_ + place_.u_part(t, head);
    fill_with_zeros(du, place_.n);
    for (std::int64_t q = 0; q < tokens; ++q) finish_token(head, q, du);
  }

  /// Adds what does not go through the state, and dw's slope; adds to du.
  void finish_token(std::int64_t head, std::int64_t q, float* du) {
    const Rows rows = rows_.of_head(head);
    const float* u = in_.u + place_.parameters(head);
    const float *r = rows.of(q, kR), *k = rows.of(q, kK), *v = rows.of(q, kV), *dy = rows.of(q, kDy);
    Float products = {}, bonuses = {};
    for (std::int64_t j = 0; j < rows.n; j += kLanes) {
      products += load(v + j) * load(dy + j);
      bonuses += load(r + j) * load(u + j) * load(k + j);
    }
    const float c = lane_sum(products), bonus = lane_sum(bonuses);
    const auto add = [](float* to, Float value) { store(to, load(to) + value); };
    for (std::int64_t j = 0; j < rows.n; j += kLanes) {
      const Float c_u = load(u + j) * c;
      add(rows.of(q, kDr) + j, c_u * load(k + j));
      add(rows.of(q, kDk) + j, c_u * load(r + j));
      add(rows.of(q, kDv) + j, load(dy + j) * bonus);
      add(du + j, load(r + j) * load(k + j) * c);
      float* dw = rows.of(q, kDw) + j;
      store(dw, load(dw) * load(rows.of(q, kSlope) + j));
    }
  }

  /// While a head passes, its state before the chunk and its share of the next chunk's tokens come in.
  [[gnu::always_inline]] void prefetch_next(std::int64_t t, std::int64_t head) const {
    const std::int64_t next = t - kWkv6Chunk, floats = place_.heads * place_.n;
    if (next < place_.begin) return;
    prefetch(kept_state(next, head), numel_);
    for (std::int64_t q = head; q < kWkv6Chunk; q += place_.heads) {
      const std::int64_t row = place_.row(next + q);
      for (const Element* input : {in_.r, in_.k, in_.v, in_.w, gradients_in_.y})
        prefetch(input + row, floats);
      for (Element* output : {out_.r, out_.k, out_.v, out_.w}) prefetch_for_writing(output + row, floats);
    }
  }

  const Wkv6Inputs<Element>& in_;
  const Wkv6OutputGradients<Element>& gradients_in_;
  const Wkv6InputGradients<Element>& out_;
  float* u_parts_;
  const Wkv6Place place_;
  const float* piece_gradients_;
  const std::int64_t numel_;
  float* gradients_;
  Rows rows_;
  TokenBlocks before_, dv_;
};

}  // namespace

template <class Element>
void wkv6_backward_task(const Wkv6Inputs<Element>& in, const Wkv6OutputGradients<Element>& gradients_in,
                        const Wkv6InputGradients<Element>& gradients_out, float* u_parts,
                        const Wkv6Task& task, float* scratch) {
  Backward<Element>(in, gradients_in, gradients_out, u_parts, task, scratch).run();
}

#define VRWKV_INSTANTIATE(Element)                                                                  \
  template void wkv6_backward_task(const Wkv6Inputs<Element>&, const Wkv6OutputGradients<Element>&, \
                                   const Wkv6InputGradients<Element>&, float*, const Wkv6Task&, float*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
