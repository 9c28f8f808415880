// SPDX-License-Identifier: Apache-2.0
// The state is kept transposed, [key][value], so that sums over keys add whole vectors and never lanes. The
// sweep that brings in token t also gives S_t a_{t+1}, which token t + 1 begins with: the state is read and
// written once a token.
#include "kernels/wkv7/wkv7_cpu_rows.h"
#include "kernels/wkv7/wkv7_cpu_tasks.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// Columns are swept in panels of this many vectors: enough sums to hide the latency of an addition, and few
/// enough to stay in registers. Measured with 16 and with 8 lanes.
constexpr int kPanelVectors = 4;

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

/// The working copy of some values of a state: panels of transposed columns, and S a for the coming token.
/// Columns count from the first of these values.
class State {
 public:
  State(std::int64_t head_size, std::int64_t values, float* scratch)
      : n_(head_size), values_(values), panels_(scratch), state_a_(scratch + n_ * n_) {}

  /// From [value][key]; null means zeros. `a` is the first token's: one that is not finite counts even then.
  void start(const float* from, const float* a) {
    float nothing = 0.0F;
    if (from == nullptr)
      for (std::int64_t j = 0; j < n_; ++j) nothing += 0.0F * a[j];
    for (std::int64_t i = 0; i < values_; ++i) state_a_[i] = nothing;
    if (from == nullptr) {
      for (std::int64_t i = 0; i < values_ * n_; ++i) panels_[i] = 0.0F;
      return;
    }
    for_each_block([&](std::int64_t i, std::int64_t j, float* block, std::int64_t stride) {
      transpose(from + i * n_ + j, n_, block, stride);
      for (int key = 0; key < kLanes; ++key) {
        store(state_a_ + i, load(state_a_ + i) + load(block + key * stride) * a[j + key]);
      }
    });
  }

  /// To [value][key], past the caches if it streams.
  void save(float* to, bool streams) const {
    for_each_block([&](std::int64_t i, std::int64_t j, const float* block, std::int64_t stride) {
      if (streams) {
        transpose(block, stride, to + i * n_ + j, n_, [](float* place, Float x) { stream(place, x); });
      } else {
        transpose(block, stride, to + i * n_ + j, n_);
      }
    });
  }

  void advance(const Token& token, float* y) {
    for_each_panel<kPanelVectors>(values_, [&](auto vectors, std::int64_t column) {
      sweep<decltype(vectors)::value>(token, n_, panels_ + column * n_, state_a_ + column, token.v + column,
                                      y + column);
    });
  }

  const float* state_a() const { return state_a_; }

 private:
  /// Calls visit(value, key, block, stride) for the kLanes x kLanes blocks of the panels.
  template <class Visit>
  void for_each_block(const Visit& visit) const {
    for_each_panel<kPanelVectors>(values_, [&](auto vectors, std::int64_t column) {
      constexpr std::int64_t kWidth = decltype(vectors)::value * kLanes;
      for (std::int64_t x = 0; x < kWidth; x += kLanes) {
        for (std::int64_t j = 0; j < n_; j += kLanes) {
          visit(column + x, j, panels_ + column * n_ + j * kWidth + x, kWidth);
        }
      }
    });
  }

  std::int64_t n_, values_;
  float* panels_;
  float* state_a_;
};

template <class Element>
class Forward {
 public:
  Forward(const Wkv7Inputs<Element>& in, const Wkv7Outputs<Element>& out, const Wkv7Kept& kept,
          const Wkv7Task& task, float* scratch)
      : in_(in),
        out_(out),
        kept_(kept),
        place_(in, kept, task),
        values_{.begin = task.first_value, .end = task.end_value},
        first_state_(task.first_value * in.head_size),
        state_(in.head_size, task.end_value - task.first_value, scratch),
        rows_{.first = scratch + (in.head_size + 1) * in.head_size, .kinds = kKinds, .n = in.head_size} {}

  void run() {
    load_row(in_.a + place_.row(place_.begin), rows_.of(kNextA, 0), rows_.n);
    state_.start(in_.initial_state == nullptr ? nullptr : in_.initial_state + place_.state + first_state_,
                 rows_.of(kNextA, 0));
    for (std::int64_t t = place_.begin; t < place_.end; t += kWkv7Chunk) {
      const std::int64_t end = place_.chunk_end(t);
      load_chunk(t, end);
      if (kept_.states != nullptr && place_.is_kept(t)) {
        state_.save(static_cast<float*>(kept_.states) + place_.kept_state(t) + first_state_, place_.streams);
      }
      for (std::int64_t q = 0; q < end - t; ++q) step(q);
      store_rows(place_, rows_, kY, t, end, values_, out_.y);
      if (kept_.state_a != nullptr) store_rows(place_, rows_, kStateA, t, end, values_, kept_.state_a);
    }
    state_.save(out_.final_state + place_.state + first_state_, /*streams=*/false);
    stream_end();
  }

 private:
  enum Kind { kR, kDecay, kK, kV, kB, kNextA, kY, kStateA, kKinds };

  void load_chunk(std::int64_t t, std::int64_t end) {
    const std::int64_t n = rows_.n;
    for (std::int64_t q = 0; q < end - t; ++q) {
      const std::int64_t row = place_.row(t + q);
      load_row(in_.r + row, rows_.of(kR, q), n);
      load_row(in_.w + row, rows_.of(kDecay, q), n);
      load_row(in_.k + row, rows_.of(kK, q), n);
      load_row(in_.v + row, rows_.of(kV, q), n);
      load_row(in_.b + row, rows_.of(kB, q), n);
      if (t + q + 1 < place_.end) {
        load_row(in_.a + place_.row(t + q + 1), rows_.of(kNextA, q), n);
      } else {
        for (std::int64_t j = 0; j < n; j += kLanes) store(rows_.of(kNextA, q) + j, Float{});
      }
    }
    // After the loads, so that the exponentials' latency is hidden too.
    for (std::int64_t q = 0; q < end - t; ++q) {
      float* decay = rows_.of(kDecay, q);
      for (std::int64_t j = 0; j < n; j += kLanes)
        store(decay + j, decay_of(in_.decay_input, load(decay + j)).d);
    }
  }

  void step(std::int64_t q) {
    float* state_a = rows_.of(kStateA, q) + values_.begin;
    for (std::int64_t i = 0; i < values_.end - values_.begin; i += kLanes)
      store(state_a + i, load(state_.state_a() + i));
    state_.advance({.r = rows_.of(kR, q),
                    .decay = rows_.of(kDecay, q),
                    .k = rows_.of(kK, q),
                    .v = rows_.of(kV, q) + values_.begin,
                    .b = rows_.of(kB, q),
                    .next_a = rows_.of(kNextA, q)},
                   rows_.of(kY, q) + values_.begin);
  }

  const Wkv7Inputs<Element>& in_;
  const Wkv7Outputs<Element>& out_;
  const Wkv7Kept& kept_;
  const Place place_;
  const Columns values_;
  const std::int64_t first_state_;  // of these values in a state
  State state_;
  const Rows rows_;  // of a chunk
};

}  // namespace

template <class Element>
void forward_task(const Wkv7Inputs<Element>& in, const Wkv7Outputs<Element>& out, const Wkv7Kept& kept,
                  const Wkv7Task& task, float* scratch) {
  Forward<Element>(in, out, kept, task, scratch).run();
}

template void forward_task(const Wkv7Inputs<float>&, const Wkv7Outputs<float>&, const Wkv7Kept&,
                           const Wkv7Task&, float*);
template void forward_task(const Wkv7Inputs<Bf16>&, const Wkv7Outputs<Bf16>&, const Wkv7Kept&,
                           const Wkv7Task&, float*);

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
