// SPDX-License-Identifier: Apache-2.0
// The plain recurrence in fp32, one block for one head of one sequence: slow beside a chunked kernel, exact
// for any decay, and what a faster one is compared with. The gradients are those of wkv6_cpu_backward.cpp.
// What goes around the state is added to each element of it, y_t = (S_{t-1} + v_t (u (.) k_t)ᵀ) r_t, where a
// row is a value, and to the sum over a row where it is a key.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/device/device.h"
#include "kernels/device/head_size.h"
#include "kernels/device/quarter_rows.h"
#include "kernels/wkv6/wkv6_backend.h"

namespace vrwkv::kernels::cuda {
namespace {

using device::Float4;

constexpr int kChunk = static_cast<int>(kWkv6Chunk);

/// Which part of which head this thread has.
template <int kHeadSize>
struct Place : device::QuarterRow<kHeadSize> {
  template <class Element>
  __device__ explicit Place(const Wkv6Inputs<Element>& in)
      : task(device::block_index()), head(task % in.heads), heads(in.heads) {
    const std::int64_t sequence = task / heads % in.sequences, batch = task / (heads * in.sequences);
    begin = in.token_bounds[sequence];
    end = in.token_bounds[sequence + 1];
    first_row = batch * in.tokens;
    first_kept = batch * kept_state_count(in.tokens, in.sequences, kWkv6Chunk) +
                 kept_states_before(begin, sequence, kWkv6Chunk);
  }

  __device__ int chunk_tokens(std::int64_t t) const {
    return end - t < kChunk ? static_cast<int>(end - t) : kChunk;
  }
  /// Of token t's row in a (batch, tokens, heads, head_size) tensor.
  __device__ std::int64_t token_row(std::int64_t t) const {
    return ((first_row + t) * heads + head) * kHeadSize;
  }
  __device__ std::int64_t state() const { return task * kHeadSize * kHeadSize; }
  /// Of the state kept before token t, the first of a chunk.
  __device__ std::int64_t kept_state(std::int64_t t) const {
    return ((first_kept + (t - begin) / kChunk) * heads + head) * kHeadSize * kHeadSize;
  }

  std::int64_t task, head, heads, begin, end, first_row, first_kept;
};

/// Calls visit(token of the chunk, channel, the element there) for the rows of `tokens` tokens from t.
template <int kHeadSize, class Element, class Visit>
__device__ __forceinline__ void for_each_element(const Place<kHeadSize>& place, const Element* from,
                                                 std::int64_t t, int tokens, const Visit& visit) {
  for (int i = device::thread_index(); i < tokens * kHeadSize; i += Place<kHeadSize>::kThreads) {
    const int q = i / kHeadSize, j = i % kHeadSize;
    visit(q, j, to_float(from[place.token_row(t + q) + j]));
  }
}

template <int kHeadSize, class Element>
__device__ __forceinline__ void load_rows(const Place<kHeadSize>& place, const Element* from, std::int64_t t,
                                          int tokens, float (&to)[kChunk][kHeadSize]) {
  for_each_element(place, from, t, tokens, [&](int q, int j, float x) { to[q][j] = x; });
}

/// exp(w), finite: beyond 88 the decay is 0 whatever it is. NaN stays NaN.
__device__ __forceinline__ float decay_rate(float w) { return expf(w > 88.0F ? 88.0F : w); }

template <int kHeadSize>
struct ForwardShared {
  float r[kChunk][kHeadSize], decay[kChunk][kHeadSize], k[kChunk][kHeadSize], v[kChunk][kHeadSize];
  float u[kHeadSize];
};

/// A row is a value.
template <class Element, int kHeadSize>
__global__ void __launch_bounds__(Place<kHeadSize>::kThreads)
    wkv6_forward_kernel(const Wkv6Inputs<Element> in, const Wkv6Outputs<Element> out) {
  constexpr int kColumns = Place<kHeadSize>::kColumns;
  const Place<kHeadSize> place(in);
  auto& shared = *static_cast<ForwardShared<kHeadSize>*>(device::shared_memory());
  const std::int64_t row_of_state = place.row * kHeadSize;
  float state[kColumns];
#pragma unroll
  for (int e = 0; e < kColumns; ++e) {
    const int column = place.column(e);
    state[e] = in.initial_state == nullptr ? 0.0F : in.initial_state[place.state() + row_of_state + column];
  }
  if (place.sharer == 0) shared.u[place.row] = in.u[place.head * kHeadSize + place.row];
  for (std::int64_t t = place.begin; t < place.end; t += kChunk) {
    const int tokens = place.chunk_tokens(t);
    device::block_barrier();  // nobody reads the last chunk any more
    load_rows(place, in.r, t, tokens, shared.r);
    load_rows(place, in.k, t, tokens, shared.k);
    load_rows(place, in.v, t, tokens, shared.v);
    for_each_element(place, in.w, t, tokens,
                     [&](int q, int j, float w) { shared.decay[q][j] = expf(-decay_rate(w)); });
    if (out.kept_states != nullptr) {
#pragma unroll
      for (int e = 0; e < kColumns; ++e)
        static_cast<float*>(out.kept_states)[place.kept_state(t) + row_of_state + place.column(e)] = state[e];
    }
    device::block_barrier();
    for (int q = 0; q < tokens; ++q) {
      const float v = shared.v[q][place.row];
      float y[4] = {};  // four chains of additions instead of one
#pragma unroll
      for (int m = 0; m < kColumns / 4; ++m) {
        const Float4 d = place.read(shared.decay[q], m), k = place.read(shared.k[q], m);
        const Float4 r = place.read(shared.r[q], m), u = place.read(shared.u, m);
#pragma unroll
        for (int x = 0; x < 4; ++x) {
          float& s = state[4 * m + x];
          const float incoming = v * k.at[x];
          y[x] += r.at[x] * (s + u.at[x] * incoming);
          s = s * d.at[x] + incoming;
        }
      }
      const float whole_y = place.sum((y[0] + y[1]) + (y[2] + y[3]));
      if (place.sharer == 0) out.y[place.token_row(t + q) + place.row] = from_float<Element>(whole_y);
    }
  }
#pragma unroll
  for (int e = 0; e < kColumns; ++e)
    out.final_state[place.state() + row_of_state + place.column(e)] = state[e];
}

template <int kHeadSize>
struct BackwardShared {
  float r[kChunk][kHeadSize], decay[kChunk][kHeadSize], slope[kChunk][kHeadSize], k[kChunk][kHeadSize];
  float v[kChunk][kHeadSize], dy[kChunk][kHeadSize];
  float u[kHeadSize];
};

/// The states before the tokens of a chunk are transposed, a row being a key, and kept in local memory. G is
/// held both ways, so that every sum is one over a row: no thread waits for another within a chunk.
template <class Element, int kHeadSize>
class Backward {
 public:
  static constexpr int kColumns = Place<kHeadSize>::kColumns;
  using Shared = BackwardShared<kHeadSize>;

  __device__ Backward(const Wkv6Inputs<Element>& in, const Wkv6OutputGradients<Element>& gradients_in,
                      const Wkv6InputGradients<Element>& gradients_out, float (&states)[kChunk][kColumns])
      : in_(in),
        gradients_in_(gradients_in),
        out_(gradients_out),
        place_(in),
        shared_(*static_cast<Shared*>(device::shared_memory())),
        states_(states) {}

  __device__ void run() {
    start();
    const std::int64_t last = (place_.end - place_.begin - 1) / kChunk;
    for (std::int64_t t = place_.begin + last * kChunk; t >= place_.begin; t -= kChunk) {
      const int tokens = place_.chunk_tokens(t);
      load(t, tokens);
      recompute(t, tokens);
#pragma unroll 1
      for (int q = tokens - 1; q >= 0; --q) step_back(t, q);
    }
    if (place_.sharer == 0) out_.u_parts[place_.task * kHeadSize + place_.row] = du_;
    if (out_.initial_state == nullptr) return;
#pragma unroll
    for (int e = 0; e < kColumns; ++e) out_.initial_state[place_.state() + place_.at(e)] = gradient_[e];
  }

 private:
  __device__ void start() {
    const float* from = gradients_in_.final_state;
#pragma unroll
    for (int e = 0; e < kColumns; ++e) {
      gradient_[e] = from == nullptr ? 0.0F : from[place_.state() + place_.at(e)];
      transposed_[e] = from == nullptr ? 0.0F : from[place_.state() + place_.transposed_at(e)];
    }
    if (place_.sharer == 0) shared_.u[place_.row] = in_.u[place_.head * kHeadSize + place_.row];
  }

  __device__ void load(std::int64_t t, int tokens) {
    device::block_barrier();  // nobody reads the last chunk any more
    load_rows(place_, in_.r, t, tokens, shared_.r);
    load_rows(place_, in_.k, t, tokens, shared_.k);
    load_rows(place_, in_.v, t, tokens, shared_.v);
    load_rows(place_, gradients_in_.y, t, tokens, shared_.dy);
    for_each_element(place_, in_.w, t, tokens, [&](int q, int j, float w) {
      const float rate = decay_rate(w), d = expf(-rate);
      shared_.decay[q][j] = d;
      shared_.slope[q][j] = -(d * rate);
    });
    device::block_barrier();
  }

  /// Fills the transposed states before each token. A few columns after the others: G's are in registers,
  /// too.
  __device__ void recompute(std::int64_t t, int tokens) {
    const float* from = static_cast<const float*>(gradients_in_.kept_states) + place_.kept_state(t);
    constexpr int kAtOnce = kColumns < 16 ? kColumns : 16;
#pragma unroll
    for (int first = 0; first < kColumns; first += kAtOnce) {
      float state[kAtOnce];
#pragma unroll
      for (int e = 0; e < kAtOnce; ++e) state[e] = from[place_.transposed_at(first + e)];
#pragma unroll 1
      for (int q = 0; q < tokens; ++q) {
        const float d = shared_.decay[q][place_.row], k = shared_.k[q][place_.row];
#pragma unroll
        for (int m = 0; m < kAtOnce / 4; ++m) {
          const Float4 v = place_.read(shared_.v[q], first / 4 + m);
#pragma unroll
          for (int x = 0; x < 4; ++x) {
            float& s = state[4 * m + x];
            states_[q][first + 4 * m + x] = s;
            s = s * d + v.at[x] * k;
          }
        }
      }
    }
  }

  /// G becomes that before token q of the chunk at t, whose gradients it writes.
  __device__ void step_back(std::int64_t t, int q) {
    const int row = place_.row;
    const float dv = step_values(q);
    const float r = shared_.r[q][row], d = shared_.decay[q][row], k = shared_.k[q][row], u = shared_.u[row];
    float dr = 0.0F, dk = 0.0F, dw = 0.0F, c = 0.0F;
#pragma unroll
    for (int m = 0; m < kColumns / 4; ++m) {
      const Float4 v = place_.read(shared_.v[q], m), dy = place_.read(shared_.dy[q], m);
#pragma unroll
      for (int x = 0; x < 4; ++x) {
        float& g = transposed_[4 * m + x];
        const float s = states_[q][4 * m + x];
        dr += dy.at[x] * s;
        dk += v.at[x] * g;
        dw += g * s;
        c += v.at[x] * dy.at[x];
        g = g * d + dy.at[x] * r;
      }
    }
    c = place_.sum(c);
    dr = place_.sum(dr) + c * u * k;
    dk = place_.sum(dk) + c * u * r;
    dw = place_.sum(dw) * shared_.slope[q][row];
    du_ += c * r * k;
    const std::int64_t to = place_.token_row(t + q) + row;
    // Each sharer writes one: the stores of a warp go out together.
    if (place_.sharer == 0) {
      out_.r[to] = from_float<Element>(dr);
    } else if (place_.sharer == 1) {
      out_.k[to] = from_float<Element>(dk);
    } else if (place_.sharer == 2) {
      out_.v[to] = from_float<Element>(dv);
    } else {
      out_.w[to] = from_float<Element>(dw);
    }
  }

  /// The same of G with its values as rows, for dv.
  __device__ float step_values(int q) {
    const float dy = shared_.dy[q][place_.row];
    float dv = 0.0F;
#pragma unroll
    for (int m = 0; m < kColumns / 4; ++m) {
      const Float4 r = place_.read(shared_.r[q], m), k = place_.read(shared_.k[q], m);
      const Float4 d = place_.read(shared_.decay[q], m), u = place_.read(shared_.u, m);
#pragma unroll
      for (int x = 0; x < 4; ++x) {
        float& g = gradient_[4 * m + x];
        const float incoming = dy * r.at[x];
        dv += k.at[x] * (g + u.at[x] * incoming);
        g = g * d.at[x] + incoming;
      }
    }
    return place_.sum(dv);
  }

  const Wkv6Inputs<Element>& in_;
  const Wkv6OutputGradients<Element>& gradients_in_;
  const Wkv6InputGradients<Element>& out_;
  const Place<kHeadSize> place_;
  Shared& shared_;
  float gradient_[kColumns];    // of row i of G: a value
  float transposed_[kColumns];  // of row j of its transpose: a key
  float du_ = 0.0F;             // of key j
  float (&states_)[kChunk][kColumns];
};

template <class Element, int kHeadSize>
__global__ void __launch_bounds__(Place<kHeadSize>::kThreads)
    wkv6_backward_kernel(const Wkv6Inputs<Element> in, const Wkv6OutputGradients<Element> gradients_in,
                         const Wkv6InputGradients<Element> gradients_out) {
  float states[kChunk][Place<kHeadSize>::kColumns];
  Backward<Element, kHeadSize>(in, gradients_in, gradients_out, states).run();
}

template <class Element>
std::int64_t tasks(const Wkv6Inputs<Element>& in) {
  return in.batch * in.sequences * in.heads;
}

}  // namespace

template <class Element>
void wkv6_forward(const Wkv6Inputs<Element>& inputs, const Wkv6Outputs<Element>& outputs, void* stream) {
  device::with_head_size("wkv6", inputs.head_size, [&](auto head_size) {
    constexpr int kHeadSize = decltype(head_size)::value;
    device::launch(wkv6_forward_kernel<Element, kHeadSize>, tasks(inputs), Place<kHeadSize>::kThreads,
                   sizeof(ForwardShared<kHeadSize>), stream, inputs, outputs);
  });
}

template <class Element>
void wkv6_backward(const Wkv6Inputs<Element>& inputs, const Wkv6OutputGradients<Element>& output_gradients,
                   const Wkv6InputGradients<Element>& input_gradients, void* stream) {
  device::with_head_size("wkv6", inputs.head_size, [&](auto head_size) {
    constexpr int kHeadSize = decltype(head_size)::value;
    device::launch(wkv6_backward_kernel<Element, kHeadSize>, tasks(inputs), Place<kHeadSize>::kThreads,
                   sizeof(BackwardShared<kHeadSize>), stream, inputs, output_gradients, input_gradients);
  });
}

#define VRWKV_INSTANTIATE(Element)                                                             \
  template void wkv6_forward(const Wkv6Inputs<Element>&, const Wkv6Outputs<Element>&, void*);  \
  template void wkv6_backward(const Wkv6Inputs<Element>&, const Wkv6OutputGradients<Element>&, \
                              const Wkv6InputGradients<Element>&, void*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cuda
