// SPDX-License-Identifier: Apache-2.0
// The state is kept transposed, [key][value], so that sums over keys add whole vectors and never lanes. The
// sweep that brings in token t also gives S_t a_{t+1}, which token t + 1 begins with: the state is read and
// written once a token.
#include "kernels/wkv7/wkv7_cpu_sequence.h"
#include "kernels/wkv7/wkv7_cpu_tasks.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

constexpr std::int64_t kPrefetchTokens = 4;

/// The rows of token t that the sweep reads; `next_a` is a_{t+1}.
struct Token {
  const float *r, *decay, *k, *v, *b, *next_a;
};

/// Brings the token into one panel of the state, [key][kVectors * kLanes values]: on entry `state_a` is
/// S_{t-1} a_t, on return S_t a_{t+1}.
template <int kVectors>
void sweep(const Token& token, std::int64_t n, float* panel, float* state_a, const float* v, float* y) {
  Float sa[kVectors], value[kVectors], y_sum[kVectors] = {}, next_sum[kVectors] = {};
  for (int x = 0; x < kVectors; ++x) {
    sa[x] = load(state_a + x * kLanes);
    value[x] = load(v + x * kLanes);
  }
  for (std::int64_t j = 0; j < n; ++j) {
    const Float d = broadcast(token.decay[j]), k = broadcast(token.k[j]), b = broadcast(token.b[j]);
    const Float r = broadcast(token.r[j]), next_a = broadcast(token.next_a[j]);
    for (int x = 0; x < kVectors; ++x) {
      float* place = panel + (j * kVectors + x) * kLanes;
      const Float s = load(place) * d + (sa[x] * b + value[x] * k);
      store(place, s);
      y_sum[x] += s * r;
      next_sum[x] += s * next_a;
    }
  }
  for (int x = 0; x < kVectors; ++x) {
    store(y + x * kLanes, y_sum[x]);
    store(state_a + x * kLanes, next_sum[x]);
  }
}

/// The working copy of a state: panels of transposed columns, and S a for the coming token.
class State {
 public:
  State(std::int64_t head_size, float* scratch)
      : n_(head_size), panels_(scratch), state_a_(scratch + n_ * n_) {}

  /// From [value][key]; null means zeros. `a` is the first token's.
  void start(const float* from, const float* a) {
    for (std::int64_t i = 0; i < n_; ++i) state_a_[i] = 0.0F;
    if (from == nullptr) {
      for (std::int64_t i = 0; i < n_ * n_; ++i) panels_[i] = 0.0F;
      return;
    }
    for_each_block([&](std::int64_t i, std::int64_t j, float* block, std::int64_t stride) {
      transpose(from + i * n_ + j, n_, block, stride);
      for (int key = 0; key < kLanes; ++key) {
        store(state_a_ + i, load(state_a_ + i) + load(block + key * stride) * a[j + key]);
      }
    });
  }

  /// To [value][key].
  void save(float* to) const {
    for_each_block([&](std::int64_t i, std::int64_t j, const float* block, std::int64_t stride) {
      transpose(block, stride, to + i * n_ + j, n_);
    });
  }

  void advance(const Token& token, float* y) {
    for_each_panel(n_, [&](auto vectors, std::int64_t column) {
      sweep<decltype(vectors)::value>(token, n_, panels_ + column * n_, state_a_ + column, token.v + column,
                                      y + column);
    });
  }

  const float* state_a() const { return state_a_; }

 private:
  /// Calls visit(value, key, block, stride) for the kLanes x kLanes blocks of the panels.
  template <class Visit>
  void for_each_block(const Visit& visit) const {
    for_each_panel(n_, [&](auto vectors, std::int64_t column) {
      constexpr std::int64_t kWidth = decltype(vectors)::value * kLanes;
      for (std::int64_t x = 0; x < kWidth; x += kLanes) {
        for (std::int64_t j = 0; j < n_; j += kLanes) {
          visit(column + x, j, panels_ + column * n_ + j * kWidth + x, kWidth);
        }
      }
    });
  }

  std::int64_t n_;
  float* panels_;
  float* state_a_;
};

void prefetch_token(const Wkv7Inputs& in, float* y, std::int64_t row) {
  for (const float* input : {in.r, in.k, in.v, in.a, in.b}) prefetch_row(input + row, in.head_size);
  prefetch_row_for_writing(y + row, in.head_size);
}

}  // namespace

void forward_task(const Wkv7Inputs& in, const Wkv7Outputs& out, const Wkv7Kept& kept, std::int64_t task,
                  float* scratch) {
  const std::int64_t n = in.head_size;
  const Sequence sequence(in, task);
  State state(n, scratch);
  float* decay = scratch + (n + 1) * n;
  float* zeros = decay + kWkv7Chunk * n;
  for (std::int64_t j = 0; j < n; ++j) zeros[j] = 0.0F;
  state.start(in.initial_state == nullptr ? nullptr : in.initial_state + task * n * n,
              in.a + sequence.row(sequence.begin));
  for (std::int64_t chunk = 0; chunk < sequence.chunks(); ++chunk) {
    const std::int64_t first = sequence.chunk_begin(chunk);
    const std::int64_t tokens = sequence.chunk_tokens(chunk);
    // A whole chunk at once: the latency of the two exponentials is then paid once.
    for (std::int64_t q = 0; q < tokens; ++q)
      decays(in.decay_input, in.w + sequence.row(first + q), n, decay + q * n);
    if (kept.chunk_states != nullptr) state.save(kept.chunk_states + sequence.chunk_state(chunk));
    for (std::int64_t q = 0; q < tokens; ++q) {
      const std::int64_t t = first + q;
      const std::int64_t row = sequence.row(t);
      if (t + kPrefetchTokens < sequence.end) prefetch_token(in, out.y, sequence.row(t + kPrefetchTokens));
      if (kept.state_a != nullptr) {
        for (std::int64_t i = 0; i < n; i += kLanes) store(kept.state_a + row + i, load(state.state_a() + i));
      }
      state.advance({.r = in.r + row,
                     .decay = decay + q * n,
                     .k = in.k + row,
                     .v = in.v + row,
                     .b = in.b + row,
                     .next_a = t + 1 < sequence.end ? in.a + sequence.row(t + 1) : zeros},
                    out.y + row);
    }
  }
  state.save(out.final_state + task * n * n);
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
