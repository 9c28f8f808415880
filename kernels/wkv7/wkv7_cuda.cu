// SPDX-License-Identifier: Apache-2.0
// The plain recurrence in fp32, one block for one head of one sequence: slow beside a chunked kernel, exact
// for any decay, and what a faster one is compared with. The equations are those of wkv7.h and, backward, of
// wkv7_cpu_backward.cpp.
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/device/device.h"
#include "kernels/device/head_size.h"
#include "kernels/wkv7/wkv7_backend.h"
#include "kernels/wkv7/wkv7_cuda_rows.h"

namespace vrwkv::kernels::cuda {
namespace {

template <int kHeadSize>
struct ForwardShared {
  float r[kChunk][kHeadSize], decay[kChunk][kHeadSize], k[kChunk][kHeadSize], v[kChunk][kHeadSize];
  float b[kChunk][kHeadSize];
  float next_a[kChunk][kHeadSize];  // a of the token after
};

/// Thread 4 i + q has its columns of state row i (a value channel). S_t a_{t+1} is summed while S_t is made,
/// so that a token has one phase of dependent work.
template <int kHeadSize>
__global__ void __launch_bounds__(kSharers* kHeadSize)
    forward_kernel(const Wkv7Inputs in, const Wkv7Outputs out, const Wkv7Kept kept) {
  constexpr int kColumns = Place<kHeadSize>::kColumns;
  const Place<kHeadSize> place(in);
  const int row = place.row;
  auto& shared = *static_cast<ForwardShared<kHeadSize>*>(device::shared_memory());
  float state[kColumns];
  float state_a = 0.0F;
#pragma unroll
  for (int e = 0; e < kColumns; ++e) {
    const int column = place.column(e / 4) + e % 4;
    const bool given = in.initial_state != nullptr;
    state[e] = given ? in.initial_state[place.sequence_state() + row * kHeadSize + column] : 0.0F;
    state_a += state[e] * in.a[place.token_row(in, place.begin) + column];
  }
  state_a = row_sum(state_a);
  for (int chunk = 0; chunk < place.chunks(); ++chunk) {
    const std::int64_t first = place.chunk_begin(chunk);
    const int tokens = place.chunk_tokens(chunk);
    device::block_barrier();  // nobody reads the last chunk any more
    load_rows(place, in, in.r, first, tokens, shared.r);
    load_rows(place, in, in.k, first, tokens, shared.k);
    load_rows(place, in, in.v, first, tokens, shared.v);
    load_rows(place, in, in.b, first, tokens, shared.b);
    for (int i = device::thread_index(); i < tokens * kHeadSize; i += Place<kHeadSize>::kThreads) {
      const int q = i / kHeadSize, j = i % kHeadSize;
      const bool has_next = first + q + 1 < place.end;
      shared.decay[q][j] = decay_of(in.decay_input, in.w[place.token_row(in, first + q) + j]).d;
      shared.next_a[q][j] = has_next ? in.a[place.token_row(in, first + q + 1) + j] : 0.0F;
    }
    if (kept.chunk_states != nullptr) {
#pragma unroll
      for (int m = 0; m < kColumns / 4; ++m) {
        float* to = kept.chunk_states + place.chunk_state(in, chunk) + row * kHeadSize + place.column(m);
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
        const Float4 d = place.read(shared.decay[q], m);
        const Float4 k = place.read(shared.k[q], m);
        const Float4 b = place.read(shared.b[q], m);
        const Float4 r = place.read(shared.r[q], m);
        const Float4 next_a = place.read(shared.next_a[q], m);
#pragma unroll
        for (int x = 0; x < 4; ++x) {
          float& s = state[4 * m + x];
          s = s * d.at[x] + (state_a * b.at[x] + v * k.at[x]);
          y[x] += s * r.at[x];
          next[x] += s * next_a.at[x];
        }
      }
      const std::int64_t to = place.token_row(in, first + q) + row;
      if (kept.state_a != nullptr && place.sharer == 1) kept.state_a[to] = state_a;
      const float whole_y = row_sum((y[0] + y[1]) + (y[2] + y[3]));
      state_a = row_sum((next[0] + next[1]) + (next[2] + next[3]));
      if (place.sharer == 0) out.y[to] = whole_y;
    }
  }
#pragma unroll
  for (int e = 0; e < kColumns; ++e) {
    out.final_state[place.sequence_state() + row * kHeadSize + place.column(e / 4) + e % 4] = state[e];
  }
}

template <int kHeadSize>
struct BackwardShared {
  float r[kChunk][kHeadSize], decay[kChunk][kHeadSize], slope[kChunk][kHeadSize], k[kChunk][kHeadSize];
  float v[kChunk][kHeadSize], a[kChunk][kHeadSize], b[kChunk][kHeadSize], dy[kChunk][kHeadSize];
  float state_a[kChunk][kHeadSize];
  float e[2][kHeadSize];  // of two tokens in turn: a barrier less
};

/// Thread 4 i + q has, of G, row i (a value channel) and, of the transposes of G and of the state, row i (a
/// key channel), so that each sum of the backward runs along a row. The chunk's states, computed again, lie
/// in the thread's local memory.
template <int kHeadSize>
struct Backward {
  static constexpr int kColumns = Place<kHeadSize>::kColumns;
  using Shared = BackwardShared<kHeadSize>;

  /// `states` is room for the chunk's states. It is indexed by the token and so lies in memory; what lies
  /// with it would too.
  __device__ Backward(const Wkv7Inputs& in, const Wkv7Kept& kept, const Wkv7OutputGradients& gradients_in,
                      const Wkv7InputGradients& gradients_out, float (&states)[kChunk + 1][kColumns])
      : in_(in),
        kept_(kept),
        gradients_in_(gradients_in),
        out_(gradients_out),
        place_(in),
        shared_(*static_cast<Shared*>(device::shared_memory())),
        states_(states) {}

  __device__ void run() {
    begin();
    for (int chunk = place_.chunks() - 1; chunk >= 0; --chunk) {
      load(chunk);
      const std::int64_t first = place_.chunk_begin(chunk);
      const int tokens = place_.chunk_tokens(chunk);
      recompute(chunk, first, tokens);
#pragma unroll 1
      for (int q = tokens - 1; q >= 0; --q) step_back(q, place_.token_row(in_, first + q));
    }
    if (out_.initial_state != nullptr) {
#pragma unroll
      for (int e = 0; e < kColumns; ++e) out_.initial_state[place_.sequence_state() + at(e)] = gradient_[e];
    }
  }

 private:
  __device__ int column(int e) const { return place_.column(e / 4) + e % 4; }
  __device__ int at(int e) const { return place_.row * kHeadSize + column(e); }
  __device__ int transposed_at(int e) const { return column(e) * kHeadSize + place_.row; }

  __device__ void begin() {
    const float* from = gradients_in_.final_state;
#pragma unroll
    for (int e = 0; e < kColumns; ++e) {
      gradient_[e] = from == nullptr ? 0.0F : from[place_.sequence_state() + at(e)];
      transposed_[e] = from == nullptr ? 0.0F : from[place_.sequence_state() + transposed_at(e)];
    }
  }

  __device__ void load(int chunk) {
    const std::int64_t first = place_.chunk_begin(chunk);
    const int tokens = place_.chunk_tokens(chunk);
    device::block_barrier();  // nobody reads the last chunk any more
    load_rows(place_, in_, in_.r, first, tokens, shared_.r);
    load_rows(place_, in_, in_.k, first, tokens, shared_.k);
    load_rows(place_, in_, in_.v, first, tokens, shared_.v);
    load_rows(place_, in_, in_.a, first, tokens, shared_.a);
    load_rows(place_, in_, in_.b, first, tokens, shared_.b);
    load_rows<kHeadSize>(place_, in_, gradients_in_.y, first, tokens, shared_.dy);
    load_rows<kHeadSize>(place_, in_, kept_.state_a, first, tokens, shared_.state_a);
    for (int i = device::thread_index(); i < tokens * kHeadSize; i += Place<kHeadSize>::kThreads) {
      const int q = i / kHeadSize, j = i % kHeadSize;
      const Decay decay = decay_of(in_.decay_input, in_.w[place_.token_row(in_, first + q) + j]);
      shared_.decay[q][j] = decay.d;
      shared_.slope[q][j] = decay.slope;
    }
    device::block_barrier();
  }

  /// Fills the transposed states before each token and after the last, and writes dr, which needs the one
  /// after.
  __device__ void recompute(int chunk, std::int64_t first, int tokens) {
    const float* from = kept_.chunk_states + place_.chunk_state(in_, chunk);
    const int row = place_.row;
#pragma unroll
    for (int e = 0; e < kColumns; ++e) states_[0][e] = from[transposed_at(e)];
#pragma unroll 1
    for (int q = 0; q < tokens; ++q) {
      const float d = shared_.decay[q][row], k = shared_.k[q][row], b = shared_.b[q][row];
      float dr = 0.0F;
#pragma unroll
      for (int m = 0; m < kColumns / 4; ++m) {
        const Float4 state_a = place_.read(shared_.state_a[q], m), v = place_.read(shared_.v[q], m);
        const Float4 dy = place_.read(shared_.dy[q], m);
#pragma unroll
        for (int x = 0; x < 4; ++x) {
          const float s = states_[q][4 * m + x] * d + (state_a.at[x] * b + v.at[x] * k);
          states_[q + 1][4 * m + x] = s;
          dr += s * dy.at[x];
        }
      }
      dr = row_sum(dr);
      if (place_.sharer == 0) out_.r[place_.token_row(in_, first + q) + row] = dr;
    }
  }

  /// G_t, with the later tokens' part on entry, becomes their and this token's part of G_{t-1}.
  __device__ void step_back(int q, std::int64_t token_row) {
    const int row = place_.row;
    const float r = shared_.r[q][row], dy = shared_.dy[q][row];
    float dw = 0.0F, dk = 0.0F, dv = 0.0F, db = 0.0F, e_row = 0.0F;
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
#pragma unroll
    for (int m = 0; m < kColumns / 4; ++m) {
      const Float4 dys = place_.read(shared_.dy[q], m), vs = place_.read(shared_.v[q], m);
      const Float4 state_as = place_.read(shared_.state_a[q], m);
#pragma unroll
      for (int x = 0; x < 4; ++x) {
        float& g = transposed_[4 * m + x];
        g += r * dys.at[x];
        dw += g * states_[q][4 * m + x];
        dk += g * vs.at[x];
        db += g * state_as.at[x];
      }
    }
    e_row = row_sum(e_row);
    if (place_.sharer == 0) shared_.e[q % 2][row] = e_row;
    dw = row_sum(dw) * shared_.slope[q][row];
    dk = row_sum(dk);
    dv = row_sum(dv);
    db = row_sum(db);
    device::block_barrier();
    const float d = shared_.decay[q][row], a = shared_.a[q][row];
    float da = 0.0F;
#pragma unroll
    for (int m = 0; m < kColumns / 4; ++m) {
      const Float4 es = place_.read(shared_.e[q % 2], m), ds = place_.read(shared_.decay[q], m);
      const Float4 as = place_.read(shared_.a[q], m);
#pragma unroll
      for (int x = 0; x < 4; ++x) {
        da += states_[q][4 * m + x] * es.at[x];
        gradient_[4 * m + x] = gradient_[4 * m + x] * ds.at[x] + e_row * as.at[x];
        transposed_[4 * m + x] = transposed_[4 * m + x] * d + a * es.at[x];
      }
    }
    da = row_sum(da);
    // Each sharer writes some: the stores of a warp go out together.
    const std::int64_t to = token_row + row;
    if (place_.sharer == 0) {
      out_.w[to] = dw;
      out_.k[to] = dk;
    } else if (place_.sharer == 1) {
      out_.v[to] = dv;
    } else if (place_.sharer == 2) {
      out_.b[to] = db;
    } else {
      out_.a[to] = da;
    }
  }

  const Wkv7Inputs& in_;
  const Wkv7Kept& kept_;
  const Wkv7OutputGradients& gradients_in_;
  const Wkv7InputGradients& out_;
  const Place<kHeadSize> place_;
  Shared& shared_;
  float gradient_[kColumns];    // of row i of G: a value channel
  float transposed_[kColumns];  // of row i of its transpose: a key channel
  float (&states_)[kChunk + 1][kColumns];
};

template <int kHeadSize>
__global__ void __launch_bounds__(kSharers* kHeadSize)
    backward_kernel(const Wkv7Inputs in, const Wkv7Kept kept, const Wkv7OutputGradients gradients_in,
                    const Wkv7InputGradients gradients_out) {
  float states[kChunk + 1][Backward<kHeadSize>::kColumns];
  Backward<kHeadSize>(in, kept, gradients_in, gradients_out, states).run();
}

std::int64_t tasks(const Wkv7Inputs& in) { return in.batch * in.sequences * in.heads; }

}  // namespace

void wkv7_forward(const Wkv7Inputs& inputs, const Wkv7Outputs& outputs, const Wkv7Kept& kept, void* stream) {
  device::with_head_size("wkv7", inputs.head_size, [&](auto head_size) {
    constexpr int kHeadSize = decltype(head_size)::value;
    device::launch(forward_kernel<kHeadSize>, tasks(inputs), Place<kHeadSize>::kThreads,
                   sizeof(ForwardShared<kHeadSize>), stream, inputs, outputs, kept);
  });
}

void wkv7_backward(const Wkv7Inputs& inputs, const Wkv7Kept& kept,
                   const Wkv7OutputGradients& output_gradients, const Wkv7InputGradients& input_gradients,
                   void* stream) {
  device::with_head_size("wkv7", inputs.head_size, [&](auto head_size) {
    constexpr int kHeadSize = decltype(head_size)::value;
    device::launch(backward_kernel<kHeadSize>, tasks(inputs), Place<kHeadSize>::kThreads,
                   sizeof(BackwardShared<kHeadSize>), stream, inputs, kept, output_gradients,
                   input_gradients);
  });
}

}  // namespace vrwkv::kernels::cuda
