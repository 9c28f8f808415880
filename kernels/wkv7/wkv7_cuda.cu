// SPDX-License-Identifier: Apache-2.0
// The plain recurrence in fp32, one block for one head of one sequence: slow beside the chunked kernels,
// exact for any decay, and what they are compared with. The equations are those of wkv7.h and, backward, of
// wkv7_cpu_backward.cpp.
#include <cstddef>
#include <cstdint>

#include "kernels/device/device.h"
#include "kernels/device/head_size.h"
#include "kernels/wkv7/wkv7_backend.h"
#include "kernels/wkv7/wkv7_cuda_place.h"

namespace vrwkv::kernels::cuda {
namespace {

using device::Float4;

/// That a multiprocessor holds at least: 128 registers for a thread. Left to itself, the compiler aims at
/// more blocks, and spills.
template <int kHeadSize>
inline constexpr int kBlocks = 512 / device::QuarterRow<kHeadSize>::kThreads;

template <int kHeadSize>
struct ForwardShared {
  float r[kChunk][kHeadSize], decay[kChunk][kHeadSize], k[kChunk][kHeadSize], v[kChunk][kHeadSize];
  float b[kChunk][kHeadSize];
  float next_a[kChunk][kHeadSize];  // a of the token after
};

/// A row is a value. S_t a_{t+1} is summed while S_t is made, so that a token has one phase of dependent
/// work.
template <class Element, int kHeadSize>
__global__ void __launch_bounds__(device::QuarterRow<kHeadSize>::kThreads, kBlocks<kHeadSize>)
    wkv7_forward_kernel(const Wkv7Inputs<Element> in, const Wkv7Outputs<Element> out, const Wkv7Kept kept) {
  constexpr int kColumns = device::QuarterRow<kHeadSize>::kColumns;
  const Place<Element, kHeadSize> place(in, kept);
  const int row = place.row;
  auto& shared = *static_cast<ForwardShared<kHeadSize>*>(device::shared_memory());
  float state[kColumns];
  float state_a = 0.0F;
#pragma unroll
  for (int e = 0; e < kColumns; ++e) {
    const int column = place.column(e);
    const bool given = in.initial_state != nullptr;
    state[e] = given ? in.initial_state[place.state() + row * kHeadSize + column] : 0.0F;
    state_a += state[e] * to_float(in.a[place.token_row(place.begin) + column]);
  }
  state_a = place.sum(state_a);
  for (int t = place.begin; t < place.end; t += kChunk) {
    const int tokens = place.chunk_tokens(t);
    device::block_barrier();  // nobody reads the last chunk any more
    for_each_element(place, t, tokens, [&](int q, int j, std::int64_t at) {
      const float r = to_float(in.r[at]), w = to_float(in.w[at]), k = to_float(in.k[at]);
      const float v = to_float(in.v[at]), b = to_float(in.b[at]);
      const bool has_next = t + q + 1 < place.end;
      const float next_a = has_next ? to_float(in.a[place.token_row(t + q + 1) + j]) : 0.0F;
      shared.r[q][j] = r;
      shared.decay[q][j] = decay_of(in.decay_input, w).d;
      shared.k[q][j] = k;
      shared.v[q][j] = v;
      shared.b[q][j] = b;
      shared.next_a[q][j] = next_a;
    });
    if (kept.states != nullptr && (t - place.begin) % place.interval() == 0) {
#pragma unroll
      for (int m = 0; m < kColumns / 4; ++m) {
        float* to =
            static_cast<float*>(kept.states) + place.kept_state(t) + row * kHeadSize + place.column(4 * m);
        *reinterpret_cast<Float4*>(to) =
            Float4{{state[4 * m], state[4 * m + 1], state[4 * m + 2], state[4 * m + 3]}};
      }
    }
    device::block_barrier();
    for (int q = 0; q < tokens; ++q) {
      const float v = shared.v[q][row];
      float y[4] = {}, next[4] = {};  // four chains of additions instead of one
#pragma unroll
      for (int m = 0; m < kColumns / 4; ++m) {
        const Float4 d = place.read(shared.decay[q], m), k = place.read(shared.k[q], m);
        const Float4 b = place.read(shared.b[q], m), r = place.read(shared.r[q], m);
        const Float4 next_a = place.read(shared.next_a[q], m);
#pragma unroll
        for (int x = 0; x < 4; ++x) {
          float& s = state[4 * m + x];
          s = s * d.at[x] + (state_a * b.at[x] + v * k.at[x]);
          y[x] += s * r.at[x];
          next[x] += s * next_a.at[x];
        }
      }
      const std::int64_t to = place.token_row(t + q) + row;
      if (kept.state_a != nullptr && place.sharer == 1) kept.state_a[to] = state_a;
      const float whole_y = place.sum((y[0] + y[1]) + (y[2] + y[3]));
      state_a = place.sum((next[0] + next[1]) + (next[2] + next[3]));
      if (place.sharer == 0) out.y[to] = from_float<Element>(whole_y);
    }
  }
#pragma unroll
  for (int e = 0; e < kColumns; ++e)
    out.final_state[place.state() + row * kHeadSize + place.column(e)] = state[e];
}

template <int kHeadSize>
struct BackwardShared {
  float r[kChunk][kHeadSize], decay[kChunk][kHeadSize], slope[kChunk][kHeadSize], k[kChunk][kHeadSize];
  float v[kChunk][kHeadSize], a[kChunk][kHeadSize], b[kChunk][kHeadSize], dy[kChunk][kHeadSize];
  float state_a[kChunk][kHeadSize];
  float e[2][kHeadSize];  // of two tokens in turn: a barrier less
};

/// Of G a row is a value; of the transposes of G and of the state, a key: so each sum of the backward runs
/// along a row. The chunk's states, computed again, lie in the thread's local memory.
template <class Element, int kHeadSize>
class Backward {
 public:
  static constexpr int kColumns = device::QuarterRow<kHeadSize>::kColumns;
  /// Four columns each. At head size 128 a thread has no registers for both G and its transpose.
  static constexpr int kUnrolled = kHeadSize == 128 ? 2 : kColumns / 4;
  using Shared = BackwardShared<kHeadSize>;

  /// `states` is room for the states before each token of a chunk, `transposed` for G's transpose. What is
  /// indexed by a variable lies in memory, and what lies with it would too.
  __device__ Backward(const Wkv7Inputs<Element>& in, const Wkv7Kept& kept,
                      const Wkv7OutputGradients<Element>& gradients_in,
                      const Wkv7InputGradients<Element>& gradients_out, void* workspace,
                      float (&states)[kChunk][kColumns], float (&transposed)[kColumns])
      : in_(in),
        kept_(kept),
        gradients_in_(gradients_in),
        out_(gradients_out),
        chunk_states_(static_cast<float*>(workspace)),
        place_(in, kept),
        shared_(*static_cast<Shared*>(device::shared_memory())),
        states_(states),
        transposed_(transposed) {}

  __device__ void run() {
    begin();
    const int last = (place_.end - place_.begin - 1) / place_.interval();
    for (int i = last; i >= 0; --i) run_interval(place_.begin + i * place_.interval());
    if (out_.initial_state == nullptr) return;
#pragma unroll
    for (int e = 0; e < kColumns; ++e) out_.initial_state[place_.state() + place_.at(e)] = gradient_[e];
  }

 private:
  __device__ void begin() {
#pragma unroll
    for (int e = 0; e < kColumns; ++e) gradient_[e] = transposed_[e] = 0.0F;
    if (gradients_in_.final_state == nullptr) return;
    const float* from = gradients_in_.final_state + place_.state();
#pragma unroll
    for (int e = 0; e < kColumns; ++e) gradient_[e] = from[place_.at(e)];
#pragma unroll
    for (int e = 0; e < kColumns; ++e) transposed_[e] = from[place_.transposed_at(e)];
  }

  /// The tokens from one kept state to the next.
  __device__ void run_interval(int begin) {
    const int end = place_.end - begin < place_.interval() ? place_.end : begin + place_.interval();
    const int last = (end - begin - 1) / kChunk;
    const float* kept_state = static_cast<const float*>(kept_.states) + place_.kept_state(begin);
    for (int chunk = 0; chunk < last; ++chunk) {
      load(begin + chunk * kChunk, kChunk);
      recompute(chunk == 0 ? kept_state : chunk_state(chunk), kChunk, chunk_state(chunk + 1));
    }
    for (int chunk = last; chunk >= 0; --chunk) {
      const int t = begin + chunk * kChunk;
      const int tokens = place_.chunk_tokens(t);
      load(t, tokens);
      recompute(chunk == 0 ? kept_state : chunk_state(chunk), tokens, /*after=*/nullptr);
#pragma unroll 1
      for (int q = tokens - 1; q >= 0; --q) step_back(q, place_.token_row(t + q));
    }
  }

  /// Before a chunk of the interval, but for the first.
  __device__ float* chunk_state(int chunk) const {
    const std::int64_t before = device::block_index() * (place_.interval() / kChunk - 1) + chunk - 1;
    return chunk_states_ + before * kHeadSize * kHeadSize;
  }

  __device__ void load(int t, int tokens) {
    device::block_barrier();  // nobody reads the last chunk any more
    for_each_element(place_, t, tokens, [&](int q, int j, std::int64_t at) {
      const float r = to_float(in_.r[at]), w = to_float(in_.w[at]), k = to_float(in_.k[at]);
      const float v = to_float(in_.v[at]), a = to_float(in_.a[at]), b = to_float(in_.b[at]);
      const float dy = to_float(gradients_in_.y[at]), state_a = kept_.state_a[at];
      const Decay decay = decay_of(in_.decay_input, w);
      shared_.r[q][j] = r;
      shared_.decay[q][j] = decay.d;
      shared_.slope[q][j] = decay.slope;
      shared_.k[q][j] = k;
      shared_.v[q][j] = v;
      shared_.a[q][j] = a;
      shared_.b[q][j] = b;
      shared_.dy[q][j] = dy;
      shared_.state_a[q][j] = state_a;
    });
    device::block_barrier();
  }

  /// Fills the transposed states before each token of the chunk that begins with state `from`, and writes
  /// the one after it where it is wanted. A few columns after the others: G's are in registers, too.
  __device__ void recompute(const float* from, int tokens, float* after) {
    constexpr int kAtOnce = 8;
    const int row = place_.row;
#pragma unroll
    for (int first = 0; first < kColumns; first += kAtOnce) {
      float state[kAtOnce];
#pragma unroll
      for (int e = 0; e < kAtOnce; ++e) state[e] = from[place_.transposed_at(first + e)];
#pragma unroll 1
      for (int q = 0; q < tokens; ++q) {
        const float d = shared_.decay[q][row], k = shared_.k[q][row], b = shared_.b[q][row];
#pragma unroll
        for (int m = 0; m < kAtOnce / 4; ++m) {
          const Float4 state_a = place_.read(shared_.state_a[q], first / 4 + m);
          const Float4 v = place_.read(shared_.v[q], first / 4 + m);
#pragma unroll
          for (int x = 0; x < 4; ++x) {
            float& s = state[4 * m + x];
            states_[q][first + 4 * m + x] = s;
            s = s * d + (state_a.at[x] * b + v.at[x] * k);
          }
        }
      }
      if (after == nullptr) continue;
#pragma unroll
      for (int e = 0; e < kAtOnce; ++e) after[place_.transposed_at(first + e)] = state[e];
    }
  }

  /// G_t, with the later tokens' part on entry, becomes their and this token's part of G_{t-1}.
  __device__ void step_back(int q, std::int64_t token_row) {
    const int row = place_.row;
    const float dy = shared_.dy[q][row];
    float dv = 0.0F, e_row = 0.0F;
#pragma unroll
    for (int m = 0; m < kColumns / 4; ++m) {
      const Float4 rs = place_.read(shared_.r[q], m), ks = place_.read(shared_.k[q], m);
      const Float4 bs = place_.read(shared_.b[q], m);
#pragma unroll
      for (int x = 0; x < 4; ++x) {
        float& g = gradient_[4 * m + x];
        g += dy * rs.at[x];
        dv += g * ks.at[x];
        e_row += g * bs.at[x];
      }
    }
    dv = place_.sum(dv);
    e_row = place_.sum(e_row);
    if (place_.sharer == 0) shared_.e[q % 2][row] = e_row;
    device::block_barrier();
    const KeyGradients of_key = step_keys(q);
    const std::int64_t to = token_row + row;
#pragma unroll
    for (int m = 0; m < kColumns / 4; ++m) {
      const Float4 ds = place_.read(shared_.decay[q], m), as = place_.read(shared_.a[q], m);
#pragma unroll
      for (int x = 0; x < 4; ++x) gradient_[4 * m + x] = gradient_[4 * m + x] * ds.at[x] + e_row * as.at[x];
    }
    // Each sharer writes some: the stores of a warp go out together.
    if (place_.sharer == 0) {
      out_.r[to] = from_float<Element>(of_key.r);
      out_.w[to] = from_float<Element>(of_key.w);
    } else if (place_.sharer == 1) {
      out_.k[to] = from_float<Element>(of_key.k);
      out_.a[to] = from_float<Element>(of_key.a);
    } else if (place_.sharer == 2) {
      out_.v[to] = from_float<Element>(dv);
    } else {
      out_.b[to] = from_float<Element>(of_key.b);
    }
  }

  struct KeyGradients {
    float r, w, k, a, b;
  };

  /// The same of the transpose of G, once e_t is known, with all sums over values.
  __device__ KeyGradients step_keys(int q) {
    const int row = place_.row;
    const float r = shared_.r[q][row], d = shared_.decay[q][row], k = shared_.k[q][row];
    const float a = shared_.a[q][row], b = shared_.b[q][row];
    float dr = 0.0F, dw = 0.0F, dk = 0.0F, da = 0.0F, db = 0.0F;
#pragma unroll kUnrolled
    for (int m = 0; m < kColumns / 4; ++m) {
      const Float4 dys = place_.read(shared_.dy[q], m), vs = place_.read(shared_.v[q], m);
      const Float4 state_as = place_.read(shared_.state_a[q], m), es = place_.read(shared_.e[q % 2], m);
#pragma unroll
      for (int x = 0; x < 4; ++x) {
        const float s = states_[q][4 * m + x];
        const float g = transposed_[4 * m + x] + r * dys.at[x];
        dr += (s * d + (state_as.at[x] * b + vs.at[x] * k)) * dys.at[x];
        dw += s * g;
        da += s * es.at[x];
        dk += g * vs.at[x];
        db += g * state_as.at[x];
        transposed_[4 * m + x] = g * d + a * es.at[x];
      }
    }
    return {place_.sum(dr), place_.sum(dw) * shared_.slope[q][row], place_.sum(dk), place_.sum(da),
            place_.sum(db)};
  }

  const Wkv7Inputs<Element>& in_;
  const Wkv7Kept& kept_;
  const Wkv7OutputGradients<Element>& gradients_in_;
  const Wkv7InputGradients<Element>& out_;
  float* const chunk_states_;
  const Place<Element, kHeadSize> place_;
  Shared& shared_;
  float gradient_[kColumns];  // of row i of G: a value channel
  float (&states_)[kChunk][kColumns];
  float (&transposed_)[kColumns];  // of row i of G's transpose: a key channel
};

template <class Element, int kHeadSize>
__global__ void __launch_bounds__(device::QuarterRow<kHeadSize>::kThreads, kBlocks<kHeadSize>)
    wkv7_backward_kernel(const Wkv7Inputs<Element> in, const Wkv7Kept kept,
                         const Wkv7OutputGradients<Element> gradients_in,
                         const Wkv7InputGradients<Element> gradients_out, void* workspace) {
  float states[kChunk][device::QuarterRow<kHeadSize>::kColumns];
  float transposed[device::QuarterRow<kHeadSize>::kColumns];
  Backward<Element, kHeadSize>(in, kept, gradients_in, gradients_out, workspace, states, transposed).run();
}

template <class Element>
std::int64_t tasks(const Wkv7Inputs<Element>& in) {
  return in.batch * in.sequences * in.heads;
}

}  // namespace

template <class Element>
void wkv7_forward(const Wkv7Inputs<Element>& inputs, const Wkv7Outputs<Element>& outputs,
                  const Wkv7Kept& kept, void* stream) {
  device::with_head_size("wkv7", inputs.head_size, [&](auto head_size) {
    constexpr int kHeadSize = decltype(head_size)::value;
    device::launch(wkv7_forward_kernel<Element, kHeadSize>, tasks(inputs),
                   device::QuarterRow<kHeadSize>::kThreads, sizeof(ForwardShared<kHeadSize>), stream, inputs,
                   outputs, kept);
  });
}

template <class Element>
void wkv7_backward(const Wkv7Inputs<Element>& inputs, const Wkv7Kept& kept,
                   const Wkv7OutputGradients<Element>& output_gradients,
                   const Wkv7InputGradients<Element>& input_gradients, void* workspace, void* stream) {
  device::with_head_size("wkv7", inputs.head_size, [&](auto head_size) {
    constexpr int kHeadSize = decltype(head_size)::value;
    device::launch(wkv7_backward_kernel<Element, kHeadSize>, tasks(inputs),
                   device::QuarterRow<kHeadSize>::kThreads, sizeof(BackwardShared<kHeadSize>), stream, inputs,
                   kept, output_gradients, input_gradients, workspace);
  });
}

#define VRWKV_INSTANTIATE(Element)                                                                     \
  template void wkv7_forward(const Wkv7Inputs<Element>&, const Wkv7Outputs<Element>&, const Wkv7Kept&, \
                             void*);                                                                   \
  template void wkv7_backward(const Wkv7Inputs<Element>&, const Wkv7Kept&,                             \
                              const Wkv7OutputGradients<Element>&, const Wkv7InputGradients<Element>&, \
                              void*, void*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cuda
