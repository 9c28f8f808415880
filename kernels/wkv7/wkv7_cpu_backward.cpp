// SPDX-License-Identifier: Apache-2.0
// With G_t the gradient of S_t, later tokens included, and e_t = G_t b_t:
//
//     G_t  = G_{t+1} diag(d_{t+1}) + e_{t+1} a_{t+1}ᵀ + dy_t r_tᵀ
//     dr_t = S_tᵀ dy_t         dk_t = G_tᵀ v_t        dv_t = G_t k_t
//     da_t = S_{t-1}ᵀ e_t      db_t = G_tᵀ (S_{t-1} a_t)
//     dw_t = d_t' (.) (column sums of G_t (.) S_{t-1}),  d_t' the decay's derivative by w_t
//
// The states are computed again from those kept: before each chunk, then before each block of a chunk, then,
// for a group of values, before each token of a block. One sweep a token, backwards, then reads S_{t-1} once
// and turns G_t into G_{t-1}, summing what both tokens need.
#include "kernels/wkv7/wkv7_cpu_rows.h"
#include "kernels/wkv7/wkv7_cpu_sweeps.h"
#include "kernels/wkv7/wkv7_cpu_tasks.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// Of the chunk's tokens, whose w lie in the rows of slopes.
void find_decays(DecayInput input, const Rows& rows, std::int64_t tokens) {
  for (std::int64_t q = 0; q < tokens; ++q) {
    const Token token(rows, q);
    for (std::int64_t j = 0; j < rows.n; j += kLanes) {
      const Decay decay = decay_of(input, load(token[Token::kSlope] + j));
      store(token[Token::kDecay] + j, decay.d);
      store(token[Token::kSlope] + j, decay.slope);
    }
  }
}

/// Stores what is summed over all values of the chunk [t, t + tokens).
template <class Element>
void store_sums(const Place& place, const Rows& rows, std::int64_t t, std::int64_t tokens,
                const Wkv7InputGradients<Element>& out) {
  for (std::int64_t q = 0; q < tokens; ++q) {
    const Token token(rows, q);
    for (std::int64_t j = 0; j < rows.n; j += kLanes)
      store(token[Token::kDw] + j, load(token[Token::kDw] + j) * load(token[Token::kSlope] + j));
  }
  const Columns all{.begin = 0, .end = rows.n};
  store_rows(place, rows, Token::kDr, t, t + tokens, all, out.r);
  store_rows(place, rows, Token::kDw, t, t + tokens, all, out.w);
  store_rows(place, rows, Token::kDk, t, t + tokens, all, out.k);
  store_rows(place, rows, Token::kDa, t, t + tokens, all, out.a);
  store_rows(place, rows, Token::kDb, t, t + tokens, all, out.b);
}

template <class Element>
class Backward {
 public:
  Backward(const Wkv7Inputs<Element>& in, const Wkv7Kept& kept,
           const Wkv7OutputGradients<Element>& gradients_in, const Wkv7InputGradients<Element>& gradients_out,
           const Wkv7GroupSums& sums, const Wkv7Task& task, float* scratch)
      : in_(in),
        kept_(kept),
        gradients_in_(gradients_in),
        gradients_out_(gradients_out),
        sums_(sums),
        place_(in, kept, task),
        values_{.begin = task.first_value, .end = task.end_value},
        n_(in.head_size),
        gradient_(scratch),
        token_states_(gradient_ + n_ * n_),
        block_states_(token_states_ + kWkv7Block * kWkv7Group * n_),
        chunk_states_(block_states_ + (kWkv7Chunk / kWkv7Block - 1) * n_ * n_),
        e_(chunk_states_ + (kept.interval / kWkv7Chunk - 1) * n_ * n_),
        rows_{.first = e_ + n_, .kinds = Token::kRows, .n = n_} {}

  void run() {
    const float* from = gradients_in_.final_state;
    for (std::int64_t i = values_.begin * n_; i < values_.end * n_; i += kLanes)
      store(gradient_ + i, from == nullptr ? Float{} : load(from + place_.state + i));
    const std::int64_t intervals = (place_.end - place_.begin + kept_.interval - 1) / kept_.interval;
    for (std::int64_t i = intervals - 1; i >= 0; --i) run_interval(place_.begin + i * kept_.interval);
    float* to = gradients_out_.initial_state;
    if (to != nullptr)
      for (std::int64_t i = values_.begin * n_; i < values_.end * n_; i += kLanes)
        store(to + place_.state + i, load(gradient_ + i));
    stream_end();
  }

 private:
  const float* kept_state(std::int64_t t) const {
    return static_cast<const float*>(kept_.states) + place_.kept_state(t);
  }

  /// The tokens from one kept state to the next.
  void run_interval(std::int64_t begin) {
    const std::int64_t end = begin + kept_.interval < place_.end ? begin + kept_.interval : place_.end;
    const std::int64_t last = (end - begin - 1) / kWkv7Chunk;
    const float* first_state = kept_state(begin);
    const auto state_before = [&](std::int64_t chunk) {
      return chunk == 0 ? first_state : chunk_states_ + (chunk - 1) * n_ * n_;
    };
    for (std::int64_t chunk = 0; chunk < last; ++chunk) {
      load_chunk(begin + chunk * kWkv7Chunk, kWkv7Chunk);
      advance(0, kWkv7Chunk, state_before(chunk), chunk_states_ + chunk * n_ * n_);
    }
    for (std::int64_t chunk = last; chunk >= 0; --chunk)
      run_chunk(begin + chunk * kWkv7Chunk, state_before(chunk));
  }

  void run_chunk(std::int64_t t, const float* chunk_state) {
    const std::int64_t tokens = place_.chunk_end(t) - t;
    const std::int64_t last = (tokens - 1) / kWkv7Block;
    const auto state_before = [&](std::int64_t block) {
      return block == 0 ? chunk_state : block_states_ + (block - 1) * n_ * n_;
    };
    load_chunk(t, tokens);
    for (std::int64_t block = 0; block < last; ++block)
      advance(block * kWkv7Block, kWkv7Block, state_before(block), block_states_ + block * n_ * n_);
    for (std::int64_t group = values_.begin; group < values_.end; group += kWkv7Group)
      begin_chunk(Token(rows_, tokens - 1), n_, group, gradient_, e_);
    for (std::int64_t block = last; block >= 0; --block) {
      const std::int64_t q = block * kWkv7Block;
      const std::int64_t count = tokens - q < kWkv7Block ? tokens - q : kWkv7Block;
      for (std::int64_t group = values_.begin; group < values_.end; group += kWkv7Group) {
        prefetch_state(t - kWkv7Chunk, q, group);
        run_block(q, count, group, state_before(block));
      }
    }
    finish_chunk(t, tokens);
  }

  /// Brings the chunk's tokens [q, q + count) into a state.
  void advance(std::int64_t q, std::int64_t count, const float* from, float* to) {
    for (std::int64_t value = values_.begin; value < values_.end; value += kTogether) {
      for_each_panel<kSweepVectors>(n_, [&](auto vectors, std::int64_t column) {
        recompute<decltype(vectors)::value, false>(Token(rows_, q), count, n_, value, column, from, to,
                                                   nullptr, false);
      });
    }
  }

  /// Tokens [q, q + count) of the chunk, for a group of values.
  void run_block(std::int64_t q, std::int64_t count, std::int64_t group, const float* block_state) {
    for (std::int64_t i = 0; i < kWkv7Group; i += kTogether) {
      for_each_panel<kSweepVectors>(n_, [&](auto vectors, std::int64_t column) {
        recompute<decltype(vectors)::value, true>(Token(rows_, q), count, n_, group + i, column, block_state,
                                                  nullptr, token_states_ + i * n_, group == values_.begin);
      });
    }
    for (std::int64_t i = count - 1; i >= 0; --i) {
      if (q + i > 0) {
        step_back<true>(q + i, group, token_states_ + i * kWkv7Group * n_);
      } else {
        step_back<false>(q + i, group, token_states_ + i * kWkv7Group * n_);
      }
    }
  }

  template <bool kHasBefore>
  void step_back(std::int64_t q, std::int64_t group, const float* state) {
    const Token token(rows_, q), before(rows_, kHasBefore ? q - 1 : q);
    LaneSums sums;
    for_each_panel<kSweepVectors>(n_, [&](auto vectors, std::int64_t column) {
      sweep<decltype(vectors)::value, kHasBefore>(token, before, n_, group, column, state, e_, gradient_,
                                                  sums, group == values_.begin);
    });
    if (kHasBefore) sums.add_lanes(before[Token::kDv] + group, e_ + group);
  }

  void load_chunk(std::int64_t t, std::int64_t tokens) {
    for (std::int64_t q = 0; q < tokens; ++q) {
      const std::int64_t row = place_.row(t + q);
      const Token token(rows_, q);
      load_row(in_.r + row, token[Token::kR], n_);
      load_row(in_.w + row, token[Token::kSlope], n_);
      load_row(in_.k + row, token[Token::kK], n_);
      load_row(in_.v + row, token[Token::kV], n_);
      load_row(in_.a + row, token[Token::kA], n_);
      load_row(in_.b + row, token[Token::kB], n_);
      load_row(gradients_in_.y + row, token[Token::kDy], n_);
      load_row(kept_.state_a + row, token[Token::kStateA], n_);
    }
    find_decays(in_.decay_input, rows_, tokens);
  }

  void finish_chunk(std::int64_t t, std::int64_t tokens) {
    store_rows(place_, rows_, Token::kDv, t, t + tokens, values_, gradients_out_.v);
    if (sums_.first == nullptr) {
      store_sums(place_, rows_, t, tokens, gradients_out_);
      return;
    }
    for (std::int64_t q = 0; q < tokens; ++q) {
      const float* from = Token(rows_, q)[Token::kDr];
      float* to = sums_.of(place_.row(t + q), values_.begin / kWkv7Group, n_);
      for (std::int64_t j = 0; j < Wkv7GroupSums::kSums * n_; j += kLanes) store(to + j, load(from + j));
    }
  }

  /// Fetches a part of the state before token t, if it is kept: all of it over a chunk's blocks and groups.
  /// Inlined always: GCC takes a function that only prefetches for one without effect, and drops its calls.
  [[gnu::always_inline]] void prefetch_state(std::int64_t t, std::int64_t q, std::int64_t group) const {
    if (t < place_.begin || !place_.is_kept(t)) return;
    constexpr std::int64_t kLine = 16;
    const float* from = kept_state(t) + (q * n_ + group * kWkv7Block) * n_ / kWkv7Chunk;
    for (std::int64_t i = 0; i < kWkv7Block * n_; i += kLine) __builtin_prefetch(from + i);
  }

  const Wkv7Inputs<Element>& in_;
  const Wkv7Kept& kept_;
  const Wkv7OutputGradients<Element>& gradients_in_;
  const Wkv7InputGradients<Element>& gradients_out_;
  const Wkv7GroupSums& sums_;
  const Place place_;
  const Columns values_;  // one group where heads are divided
  const std::int64_t n_;
  float* const gradient_;      // G
  float* const token_states_;  // before each token of a block, a group's values
  float* const block_states_;  // before each block of a chunk, but for the first
  float* const chunk_states_;  // before each chunk since the kept state, but for the first
  float* const e_;
  const Rows rows_;  // of a chunk
};

}  // namespace

template <class Element>
void backward_task(const Wkv7Inputs<Element>& in, const Wkv7Kept& kept,
                   const Wkv7OutputGradients<Element>& gradients_in,
                   const Wkv7InputGradients<Element>& gradients_out, const Wkv7GroupSums& sums,
                   const Wkv7Task& task, float* scratch) {
  Backward<Element>(in, kept, gradients_in, gradients_out, sums, task, scratch).run();
}

template <class Element>
void backward_sums_task(const Wkv7Inputs<Element>& in, const Wkv7Kept& kept,
                        const Wkv7InputGradients<Element>& gradients_out, const Wkv7GroupSums& sums,
                        const Wkv7Task& task, float* scratch) {
  const Place place(in, kept, task);
  const Rows rows{.first = scratch, .kinds = Token::kRows, .n = in.head_size};
  for (std::int64_t t = place.begin; t < place.end; t += kWkv7Chunk) {
    const std::int64_t tokens = place.chunk_end(t) - t;
    for (std::int64_t q = 0; q < tokens; ++q) {
      load_row(in.w + place.row(t + q), Token(rows, q)[Token::kSlope], rows.n);
      float* all = Token(rows, q)[Token::kDr];
      for (std::int64_t group = 0; group < rows.n / kWkv7Group; ++group) {
        const float* of_group = sums.of(place.row(t + q), group, rows.n);
        for (std::int64_t j = 0; j < Wkv7GroupSums::kSums * rows.n; j += kLanes)
          store(all + j, group == 0 ? load(of_group + j) : load(all + j) + load(of_group + j));
      }
    }
    find_decays(in.decay_input, rows, tokens);
    store_sums(place, rows, t, tokens, gradients_out);
  }
  stream_end();
}

#define VRWKV_INSTANTIATE(Element)                                                                     \
  template void backward_task(const Wkv7Inputs<Element>&, const Wkv7Kept&,                             \
                              const Wkv7OutputGradients<Element>&, const Wkv7InputGradients<Element>&, \
                              const Wkv7GroupSums&, const Wkv7Task&, float*);                          \
  template void backward_sums_task(const Wkv7Inputs<Element>&, const Wkv7Kept&,                        \
                                   const Wkv7InputGradients<Element>&, const Wkv7GroupSums&,           \
                                   const Wkv7Task&, float*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
