// SPDX-License-Identifier: Apache-2.0
// A block has a range of tokens, a thread eight channels of all of them. The gradients are those of
// norm_shift_mix_cpu_range.cpp.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/device/device.h"
#include "kernels/device/octet.h"
#include "kernels/norm_shift_mix/norm_shift_mix_backend.h"
#include "kernels/norm_shift_mix/norm_shift_mix_sums.h"

namespace vrwkv::kernels::cuda {
namespace {

using device::kWarpLanes;
using device::load_octet;
using device::Octet;
using device::octet_of;
using device::store_octet;

VRWKV_HOST_DEVICE int block_warps(std::int64_t channels) {
  constexpr int kOfAWarp = kWarpLanes * Octet::kChannels;
  return static_cast<int>((channels + kOfAWarp - 1) / kOfAWarp);
}

/// Of LayerNorm: xhat = (x - mean) scale.
struct Moments {
  float mean, scale;
};

/// Of token t, by a warp.
template <class Element>
__device__ __forceinline__ Moments measure(const NormShiftMixInputs<Element>& in, std::int64_t t) {
  const auto channels = static_cast<int>(in.channels);
  const int lane = device::thread_index() % kWarpLanes;
  const Element* x = in.x + t * channels;
  const auto row_sum = [&](auto term) {
    float sum = 0.0F;
    for (int c = lane * Octet::kChannels; c < channels; c += kWarpLanes * Octet::kChannels) {
      const Octet values = load_octet(x + c);
#pragma unroll
      for (const float value : values.at) sum += term(value);
    }
    return device::warp_sum(sum);
  };
  const float mean = row_sum([](float value) { return value; }) / static_cast<float>(channels);
  const float squares = row_sum([&](float value) { return (value - mean) * (value - mean); });
  return {mean, 1.0F / sqrtf(squares / static_cast<float>(channels) + in.epsilon)};
}

template <class Element>
__device__ __forceinline__ bool starts(const NormShiftMixInputs<Element>& in, std::int64_t sequence,
                                       std::int64_t t) {
  return sequence < in.sequences && in.sequence_starts[sequence] == t;
}

/// This thread's channels of what stands before a sequence.
template <class Element>
__device__ __forceinline__ Octet previous(const NormShiftMixInputs<Element>& in, std::int64_t sequence,
                                          int channel) {
  return in.previous == nullptr ? Octet{} : load_octet(in.previous + sequence * in.channels + channel);
}

/// And of xhat.
template <class Element>
__device__ __forceinline__ Octet normalised(const NormShiftMixInputs<Element>& in, std::int64_t t,
                                            int channel, Moments moments) {
  const Octet x = load_octet(in.x + t * in.channels + channel);
  return octet_of([&](int i) { return (x.at[i] - moments.mean) * moments.scale; });
}

/// Fills `moments`, in shared memory, for the token before the range and then its own, which are kept; by the
/// block.
template <class Element>
__device__ __forceinline__ void measure_range(const NormShiftMixInputs<Element>& in, const PackedRange& range,
                                              const NormShiftMixKept& kept, Moments* moments) {
  const int warp = device::thread_index() / kWarpLanes;
  for (std::int64_t t = range.begin - 1 + warp; t < range.end; t += block_warps(in.channels)) {
    if (t < 0) continue;
    const Moments mine = measure(in, t);
    if (device::thread_index() % kWarpLanes != 0) continue;
    moments[t - range.begin + 1] = mine;
    if (kept.mean == nullptr || t < range.begin) continue;
    kept.mean[t] = mine.mean;
    kept.scale[t] = mine.scale;
  }
  device::block_barrier();
}

template <class Element, int kMixes>
__global__ void __launch_bounds__(kMaxThreads)
    norm_shift_mix_forward_kernel(const NormShiftMixInputs<Element> in, const NormShiftMixKept kept,
                                  const NormShiftMixOutputs<Element> out) {
  auto* moments = static_cast<Moments*>(device::shared_memory());
  const PackedRange range = packed_range(in, device::block_index());
  measure_range(in, range, kept, moments);
  const int channel = device::thread_index() * Octet::kChannels;
  if (channel >= in.channels) return;
  const Octet weight = load_octet(in.weight + channel), bias = load_octet(in.bias + channel);
  Octet mixes[kMixes];
#pragma unroll
  for (int m = 0; m < kMixes; ++m) mixes[m] = load_octet(in.mixes[m] + channel);
  const auto affine = [&](std::int64_t t) {
    const Octet xhat = normalised(in, t, channel, moments[t - range.begin + 1]);
    return octet_of([&](int i) { return xhat.at[i] * weight.at[i] + bias.at[i]; });
  };
  std::int64_t sequence = range.first_sequence;
  Octet before = starts(in, sequence, range.begin) ? Octet{} : affine(range.begin - 1);
  for (std::int64_t t = range.begin; t < range.end; ++t) {
    if (starts(in, sequence, t)) before = previous(in, sequence++, channel);
    const Octet n = affine(t);
    store_octet(out.x + t * in.channels + channel, load_octet(in.x + t * in.channels + channel));
#pragma unroll
    for (int m = 0; m < kMixes; ++m) {
      store_octet(out.mixed + (m * in.tokens + t) * in.channels + channel,
                  octet_of([&](int i) { return n.at[i] + (before.at[i] - n.at[i]) * mixes[m].at[i]; }));
    }
    if (t + 1 == in.tokens || starts(in, sequence, t + 1))
      store_octet(out.last + (sequence - 1) * in.channels + channel, n);
    before = n;
  }
}

/// Walks down the tokens of a range. Threads beyond the last channel follow with channel 0 and add nothing.
template <class Element, int kMixes>
class Backward {
 public:
  using Sums = ChannelSums<kMixes>;

  __device__ Backward(const NormShiftMixInputs<Element>& in, const NormShiftMixKept& kept,
                      const NormShiftMixGradients<Element>& out)
      : in_(in),
        kept_(kept),
        out_(out),
        warps_(block_warps(in.channels)),
        has_channels_(device::thread_index() * Octet::kChannels < in.channels),
        channel_(has_channels_ ? device::thread_index() * Octet::kChannels : 0),
        block_sums_(*static_cast<BlockSums*>(device::shared_memory())),
        sums_(&block_sums_ + 1, warps_ * kWarpLanes) {}

  __device__ __forceinline__ void run() {
    const PackedRange range = packed_range(in_, device::block_index());
    const int begin = static_cast<int>(range.begin), end = static_cast<int>(range.end);
    int sequence = static_cast<int>(range.end_sequence);  // the one after
    // A sequence that goes on in the next range brings a gradient from there.
    const bool goes_on = end < in_.tokens && !starts(in_, sequence, end);
#pragma unroll 1
    for (int t = goes_on ? end : end - 1; t >= begin; --t) {
      const bool is_first = in_.sequence_starts[sequence - 1] == t;
      if (is_first) --sequence;
      const Octet weight = parameter(in_.weight), own = xhat(t);
      const Octet step = t == end ? Octet{} : difference(t, is_first, sequence, own, weight);
      const Octet d_n = mix_gradients(t, step);
      if (is_first) from_next_ = {};
      if (t < end) norm_gradients(t, d_n, own, weight);
    }
    if (has_channels_) store_sums();
  }

 private:
  __device__ __forceinline__ Octet parameter(const float* vector) const {
    return load_octet(vector + channel_);
  }
  __device__ __forceinline__ Octet xhat(std::int64_t t) const {
    return normalised(in_, t, channel_, {kept_.mean[t], kept_.scale[t]});
  }

  /// s - n
  __device__ __forceinline__ Octet difference(std::int64_t t, bool is_first, std::int64_t sequence,
                                              const Octet& own, const Octet& weight) const {
    if (is_first) {
      const Octet given = previous(in_, sequence, channel_), bias = parameter(in_.bias);
      return octet_of([&](int i) { return given.at[i] - (own.at[i] * weight.at[i] + bias.at[i]); });
    }
    const Octet before = xhat(t - 1);
    return octet_of([&](int i) { return (before.at[i] - own.at[i]) * weight.at[i]; });
  }

  /// Adds to the gradients of the mixes, leaves ds_t for the token before, and returns dn_t.
  __device__ __forceinline__ Octet mix_gradients(std::int64_t t, const Octet& difference) {
    Octet d_n = from_next_;
    from_next_ = {};
#pragma unroll
    for (int m = 0; m < kMixes; ++m) {
      const Octet g = load_octet(out_.mixed + (m * in_.tokens + t) * in_.channels + channel_);
      const Octet mix = parameter(in_.mixes[m]);
#pragma unroll
      for (int i = 0; i < Octet::kChannels; ++i) {
        const float d_s = g.at[i] * mix.at[i];
        from_next_.at[i] += d_s;
        d_n.at[i] += g.at[i] - d_s;
      }
      sums_.add(m, octet_of([&](int i) { return g.at[i] * difference.at[i]; }));
    }
    return d_n;
  }

  /// Adds to the gradients of weight and bias, and writes dx_t.
  __device__ __forceinline__ void norm_gradients(std::int64_t t, const Octet& d_n, const Octet& own,
                                                 const Octet& weight) {
    sums_.add(Sums::kWeight, octet_of([&](int i) { return d_n.at[i] * own.at[i]; }));
    sums_.add(Sums::kBias, d_n);
    const Octet e = octet_of([&](int i) { return has_channels_ ? d_n.at[i] * weight.at[i] : 0.0F; });
    float e_sum = 0.0F, e_xhat_sum = 0.0F;
#pragma unroll
    for (int i = 0; i < Octet::kChannels; ++i) {
      e_sum += e.at[i];
      e_xhat_sum += e.at[i] * own.at[i];
    }
    block_sums_.add(static_cast<int>(t % 2), warps_, e_sum, e_xhat_sum);
    if (!has_channels_) return;
    const float width = static_cast<float>(in_.channels), scale = kept_.scale[t];
    const float e_mean = e_sum / width, e_xhat_mean = e_xhat_sum / width;
    const std::int64_t at = t * in_.channels + channel_;
    const Octet more = out_.more_x == nullptr ? Octet{} : load_octet(out_.more_x + at);
    store_octet(out_.x + at, octet_of([&](int i) {
                  return (e.at[i] - e_mean - own.at[i] * e_xhat_mean) * scale + more.at[i];
                }));
  }

  __device__ __forceinline__ void store_sums() const {
    float* to = out_.range_sums + device::block_index() * Sums::kCount * in_.channels + channel_;
#pragma unroll
    for (int i = 0; i < Sums::kCount; ++i) store_octet(to + i * in_.channels, sums_.read(i));
  }

  const NormShiftMixInputs<Element>& in_;
  const NormShiftMixKept& kept_;
  const NormShiftMixGradients<Element>& out_;
  const int warps_;
  const bool has_channels_;
  const int channel_;
  BlockSums& block_sums_;
  Sums sums_;
  Octet from_next_ = {};  // ds_{t+1}
};

template <class Element, int kMixes>
__global__ void __launch_bounds__(kMaxThreads)
    norm_shift_mix_backward_kernel(const NormShiftMixInputs<Element> in, const NormShiftMixKept kept,
                                   const NormShiftMixGradients<Element> out) {
  Backward<Element, kMixes>(in, kept, out).run();
}

/// Calls run with the number of mixes as a compile-time constant.
template <class Run>
void with_mix_count(int mix_count, const Run& run) {
  if (mix_count == 1) {
    run(std::integral_constant<int, 1>{});
  } else {
    run(std::integral_constant<int, kMaxMixes>{});
  }
}

}  // namespace

template <class Element>
void norm_shift_mix_forward(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                            const NormShiftMixOutputs<Element>& outputs, void* stream) {
  with_mix_count(inputs.mix_count, [&](auto mixes) {
    device::launch(norm_shift_mix_forward_kernel<Element, decltype(mixes)::value>, inputs.ranges(),
                   block_warps(inputs.channels) * kWarpLanes,
                   static_cast<std::size_t>(inputs.range_tokens + 1) * sizeof(Moments), stream, inputs, kept,
                   outputs);
  });
}

template <class Element>
void norm_shift_mix_backward(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                             const NormShiftMixGradients<Element>& gradients, void* stream) {
  with_mix_count(inputs.mix_count, [&](auto mixes) {
    constexpr int kMixes = decltype(mixes)::value;
    const int threads = block_warps(inputs.channels) * kWarpLanes;
    device::launch(norm_shift_mix_backward_kernel<Element, kMixes>, inputs.ranges(), threads,
                   sizeof(BlockSums) + threads * ChannelSums<kMixes>::kSharedBytes, stream, inputs, kept,
                   gradients);
  });
}

#define VRWKV_INSTANTIATE(Element)                                                                   \
  template void norm_shift_mix_forward(const NormShiftMixInputs<Element>&, const NormShiftMixKept&,  \
                                       const NormShiftMixOutputs<Element>&, void*);                  \
  template void norm_shift_mix_backward(const NormShiftMixInputs<Element>&, const NormShiftMixKept&, \
                                        const NormShiftMixGradients<Element>&, void*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cuda
