// SPDX-License-Identifier: Apache-2.0
// The elements of the state do not depend on each other, so a block of them stays in registers while all
// tokens of a chunk pass. The state is kept transposed, [key][value]: sums over keys then add whole vectors
// and never lanes.
#include "kernels/cpu/prefetch.h"
#include "kernels/wkv6/wkv6_cpu_rows.h"
#include "kernels/wkv6/wkv6_cpu_tasks.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

enum Kind { kR, kDecay, kK, kV, kY, kKinds };
using Rows = Wkv6Rows<kKinds>;

/// Between [value][key] and [key][value], both n x n.
void transpose_state(const float* from, std::int64_t n, float* to) {
  for (std::int64_t i = 0; i < n; i += kLanes)
    for (std::int64_t j = 0; j < n; j += kLanes) transpose(from + i * n + j, n, to + j * n + i, n);
}

/// Brings the tokens into kBlockRows keys of kLanes values, and adds the block's part of y.
void pass_block(const Rows& rows, std::int64_t tokens, std::int64_t key, std::int64_t value, float* state) {
  float* const place = state + key * rows.n + value;
  Wkv6Block s = load_block(place, rows.n);
  for (std::int64_t q = 0; q < tokens; ++q) {
    const float *r = rows.of(q, kR) + key, *decay = rows.of(q, kDecay) + key, *k = rows.of(q, kK) + key;
    const Float v = load(rows.of(q, kV) + value);
    Float y = load(rows.of(q, kY) + value);
#pragma GCC unroll 16
    for (int i = 0; i < kBlockRows; ++i) {
      y += s.of[i] * r[i];
      s.of[i] = s.of[i] * decay[i] + v * k[i];
    }
    store(rows.of(q, kY) + value, y);
  }
  store_block(place, rows.n, s);
}

/// y = (sum r u k) v, to which the state's part is added.
void begin_outputs(const float* u, std::int64_t tokens, const Rows& rows) {
  for (std::int64_t q = 0; q < tokens; ++q) {
    const float *r = rows.of(q, kR), *k = rows.of(q, kK);
    Float products = {};
    for (std::int64_t j = 0; j < rows.n; j += kLanes) products += load(r + j) * load(u + j) * load(k + j);
    const float bonus = lane_sum(products);
    for (std::int64_t i = 0; i < rows.n; i += kLanes)
      store(rows.of(q, kY) + i, load(rows.of(q, kV) + i) * bonus);
  }
}

/// The heads of a task side by side, a chunk of tokens at a time.
template <class Element>
class Forward {
 public:
  Forward(const Wkv6Inputs<Element>& in, const Wkv6Outputs<Element>& out, const Wkv6Task& task,
          float* scratch)
      : in_(in),
        out_(out),
        place_(in, task),
        piece_states_(task.piece_states),
        states_(scratch),
        rows_{.first = scratch + place_.heads * place_.n * place_.n, .n = place_.n} {}

  void run() {
    for (std::int64_t head = 0; head < place_.heads; ++head) start(head);
    for (std::int64_t t = place_.begin; t < place_.end; t += kWkv6Chunk) {
      const std::int64_t tokens = place_.chunk_tokens(t);
      load_chunk(t, tokens);
      for (std::int64_t head = 0; head < place_.heads; ++head) {
        if (out_.kept_states != nullptr)
          transpose_state(state(head), place_.n,
                          static_cast<float*>(out_.kept_states) + place_.kept_state(t, head));
        prefetch_next(t, head);
        pass_head(head, tokens);
      }
      store_rows(place_, rows_, kY, t, tokens, out_.y);
    }
    if (place_.end < place_.sequence_end) return;
    for (std::int64_t head = 0; head < place_.heads; ++head)
      transpose_state(state(head), place_.n, out_.final_state + place_.state(head));
  }

 private:
  float* state(std::int64_t head) const { return states_ + head * place_.n * place_.n; }

  void start(std::int64_t head) {
    if (place_.begin > place_.sequence_begin) {
      transpose_state(piece_states_ + place_.piece_state(place_.begin, head), place_.n, state(head));
    } else if (in_.initial_state != nullptr) {
      transpose_state(in_.initial_state + place_.state(head), place_.n, state(head));
    } else {
      for (std::int64_t i = 0; i < place_.n * place_.n; i += kLanes) store(state(head) + i, Float{});
    }
  }

  void load_chunk(std::int64_t t, std::int64_t tokens) {
    load_rows(place_, in_.r, t, tokens, rows_, kR);
    load_rows(place_, in_.k, t, tokens, rows_, kK);
    load_rows(place_, in_.v, t, tokens, rows_, kV);
    for_each_vector(place_, in_.w, t, tokens,
                    [&](std::int64_t head, std::int64_t q, std::int64_t j, Float w) {
                      store(rows_.of_head(head).of(q, kDecay) + j, exp(-exp(w)));
                    });
  }

  void pass_head(std::int64_t head, std::int64_t tokens) {
    const Rows rows = rows_.of_head(head);
    begin_outputs(in_.u + place_.parameters(head), tokens, rows);
    for (std::int64_t key = 0; key < place_.n; key += kBlockRows)
      for (std::int64_t value = 0; value < place_.n; value += kLanes)
        pass_block(rows, tokens, key, value, state(head));
  }

  /// While a head passes, its share of the next chunk's tokens comes in.
  [[gnu::always_inline]] void prefetch_next(std::int64_t t, std::int64_t head) const {
    for (std::int64_t q = head; q < kWkv6Chunk; q += place_.heads) {
      const std::int64_t next = t + kWkv6Chunk + q, floats = place_.heads * place_.n;
      if (next >= place_.end) return;
      for (const Element* input : {in_.r, in_.k, in_.v, in_.w}) prefetch(input + place_.row(next), floats);
      prefetch_for_writing(out_.y + place_.row(next), floats);
    }
  }

  const Wkv6Inputs<Element>& in_;
  const Wkv6Outputs<Element>& out_;
  const Wkv6Place place_;
  const float* piece_states_;
  float* states_;
  Rows rows_;
};

}  // namespace

template <class Element>
void wkv6_forward_task(const Wkv6Inputs<Element>& in, const Wkv6Outputs<Element>& out, const Wkv6Task& task,
                       float* scratch) {
  Forward<Element>(in, out, task, scratch).run();
}

#define VRWKV_INSTANTIATE(Element)                                                                          \
  template void wkv6_forward_task(const Wkv6Inputs<Element>&, const Wkv6Outputs<Element>&, const Wkv6Task&, \
                                  float*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
