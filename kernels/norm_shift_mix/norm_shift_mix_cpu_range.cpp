// SPDX-License-Identifier: Apache-2.0
// Rows of a range lie in the first-level cache, so each row is swept more than once; memory is read and
// written once. With G_m the incoming gradients, xhat the normalised row and n = xhat weight + bias:
//
//     ds_t = sum_m G_m,t mix_m                                 dmix_m = sum_t G_m,t (s_t - n_t)
//     dn_t = sum_m G_m,t - ds_t + ds_{t+1} inside a sequence   dweight = sum_t dn_t xhat_t,  dbias = sum_t
//     dn_t dx_t = scale_t (e_t - mean(e_t) - xhat_t mean(e_t xhat_t)),  e_t = dn_t weight
//
// and more_x_t is added to dx_t.
// The backward walks down the tokens, so that ds_{t+1} is at hand.
#include "kernels/norm_shift_mix/norm_shift_mix_cpu_range.h"

#include "kernels/cpu/lanes.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// The sum of term(column) over all lanes and columns, in four chains of additions.
template <class Term>
[[gnu::always_inline]] inline float row_sum(std::int64_t channels, const Term& term) {
  Float sums[4] = {};
  std::int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes)
    for (int i = 0; i < 4; ++i) sums[i] += term(c + i * kLanes);
  for (; c < channels; c += kLanes) sums[0] += term(c);
  return lane_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/// Of LayerNorm: xhat = (x - mean) scale.
struct Moments {
  float mean, scale;
};

template <class Element>
Moments measure(const NormShiftMixInputs<Element>& in, std::int64_t t) {
  const Element* x = in.x + t * in.channels;
  const auto width = static_cast<float>(in.channels);
  const float mean = row_sum(in.channels, [&](std::int64_t c) { return load(x + c); }) / width;
  const float squares = row_sum(in.channels, [&](std::int64_t c) {
    const Float deviation = load(x + c) - mean;
    return deviation * deviation;
  });
  return {.mean = mean, .scale = 1.0F / __builtin_sqrtf(squares / width + in.epsilon)};
}

template <class Element>
void normalise(const NormShiftMixInputs<Element>& in, Moments moments, std::int64_t t, float* xhat) {
  const Element* x = in.x + t * in.channels;
  for (std::int64_t c = 0; c < in.channels; c += kLanes)
    store(xhat + c, (load(x + c) - moments.mean) * moments.scale);
}

template <class Element>
bool starts(const NormShiftMixInputs<Element>& in, std::int64_t sequence, std::int64_t t) {
  return sequence < in.sequences && in.sequence_starts[sequence] == t;
}

/// What stands before a sequence.
template <class Element>
Float previous(const NormShiftMixInputs<Element>& in, std::int64_t sequence, std::int64_t c) {
  return in.previous == nullptr ? Float{} : load(in.previous + sequence * in.channels + c);
}

template <class Element>
Float affine(const NormShiftMixInputs<Element>& in, const float* xhat, std::int64_t c) {
  return load(xhat + c) * load(in.weight + c) + load(in.bias + c);
}

template <class Element>
void mix_row(const NormShiftMixInputs<Element>& in, const float* n, const float* shifted, const float* mix,
             Element* mixed) {
  for (std::int64_t c = 0; c < in.channels; c += kLanes) {
    const Float own = load(n + c);
    store(mixed + c, own + (load(shifted + c) - own) * load(mix + c));
  }
}

void swap(float*& a, float*& b) {
  float* const first = a;
  a = b;
  b = first;
}

/// One token's step of the backward, which has xhat and s - n of it.
template <class Element>
struct TokenBackward {
  const NormShiftMixInputs<Element>& in;
  const NormShiftMixGradients<Element>& out;
  const float *xhat, *difference;
  float *e, *from_next, *sums;

  /// Adds to the sums, leaves ds_t in `from_next`, and writes dx_t.
  void run(std::int64_t t, float scale) const {
    const std::int64_t slab = in.tokens * in.channels, row = t * in.channels;
    float* d_weight = sums + in.mix_count * in.channels;
    float* d_bias = d_weight + in.channels;
    // Of so many rows walked upwards the processor itself fetches too few ahead.
    const std::int64_t row_before = t > 0 ? in.channels : 0;
    Float e_sum = {}, e_xhat_sum = {};
    for (std::int64_t c = 0; c < in.channels; c += kLanes) {
      Float total = {}, to_before = {};
      for (int m = 0; m < in.mix_count; ++m) {
        const Element* from = out.mixed + m * slab + row + c;
        const Float gradient = load(from);
        __builtin_prefetch(from - row_before);
        float* d_mix = sums + m * in.channels + c;
        total += gradient;
        to_before += gradient * load(in.mixes[m] + c);
        store(d_mix, load(d_mix) + gradient * load(difference + c));
      }
      const Float d_n = total - to_before + load(from_next + c), own = load(xhat + c);
      store(from_next + c, to_before);
      store(d_weight + c, load(d_weight + c) + d_n * own);
      store(d_bias + c, load(d_bias + c) + d_n);
      const Float d_xhat = d_n * load(in.weight + c);
      store(e + c, d_xhat);
      e_sum += d_xhat;
      e_xhat_sum += d_xhat * own;
    }
    const auto width = static_cast<float>(in.channels);
    const float e_mean = lane_sum(e_sum) / width, e_xhat_mean = lane_sum(e_xhat_sum) / width;
    for (std::int64_t c = 0; c < in.channels; c += kLanes) {
      const Float more = out.more_x == nullptr ? Float{} : load(out.more_x + row + c);
      store(out.x + row + c, (load(e + c) - e_mean - load(xhat + c) * e_xhat_mean) * scale + more);
    }
  }
};

/// What token `t`, the first of another range, gives its predecessor.
template <class Element>
void gradient_of_shifted(const NormShiftMixInputs<Element>& in, const Element* gradient, std::int64_t t,
                         float* d_shifted) {
  for (std::int64_t c = 0; c < in.channels; c += kLanes) {
    Float sum = {};
    for (int m = 0; m < in.mix_count; ++m)
      sum += load(gradient + (m * in.tokens + t) * in.channels + c) * load(in.mixes[m] + c);
    store(d_shifted + c, sum);
  }
}

void fill_with_zeros(float* to, std::int64_t count) {
  for (std::int64_t c = 0; c < count; c += kLanes) store(to + c, Float{});
}

}  // namespace

template <class Element>
void norm_shift_mix_forward_range(const NormShiftMixInputs<Element>& in, const NormShiftMixKept& kept,
                                  const NormShiftMixOutputs<Element>& out, const PackedRange& range,
                                  float* scratch) {
  const std::int64_t channels = in.channels;
  float *n = scratch, *shifted = scratch + channels;
  const auto finish = [&](float* row) {
    for (std::int64_t c = 0; c < channels; c += kLanes) store(row + c, affine(in, row, c));
  };
  std::int64_t sequence = range.first_sequence;
  for (std::int64_t t = range.begin; t < range.end; ++t) {
    if (starts(in, sequence, t)) {
      for (std::int64_t c = 0; c < channels; c += kLanes) store(shifted + c, previous(in, sequence, c));
      ++sequence;
    } else if (t == range.begin) {
      normalise(in, measure(in, t - 1), t - 1, shifted);
      finish(shifted);
    }
    const Moments moments = measure(in, t);
    if (kept.mean != nullptr) {
      kept.mean[t] = moments.mean;
      kept.scale[t] = moments.scale;
    }
    for (std::int64_t c = 0; c < channels; c += kLanes)
      store(out.x + t * channels + c, load(in.x + t * channels + c));
    normalise(in, moments, t, n);
    finish(n);
    for (int m = 0; m < in.mix_count; ++m)
      mix_row(in, n, shifted, in.mixes[m], out.mixed + (m * in.tokens + t) * channels);
    if (t + 1 == in.tokens || starts(in, sequence, t + 1)) {
      Element* last = out.last + (sequence - 1) * channels;
      for (std::int64_t c = 0; c < channels; c += kLanes) store(last + c, load(n + c));
    }
    swap(n, shifted);
  }
}

template <class Element>
void norm_shift_mix_backward_range(const NormShiftMixInputs<Element>& in, const NormShiftMixKept& kept,
                                   const NormShiftMixGradients<Element>& gradients, const PackedRange& range,
                                   float* scratch) {
  const std::int64_t channels = in.channels;
  float *xhat = scratch, *xhat_before = xhat + channels, *difference = xhat_before + channels;
  float *e = difference + channels, *from_next = e + channels;
  float* const sums = gradients.range_sums + range.index * (in.mix_count + 2) * channels;
  const auto moments = [&](std::int64_t t) { return Moments{.mean = kept.mean[t], .scale = kept.scale[t]}; };
  fill_with_zeros(sums, (in.mix_count + 2) * channels);
  std::int64_t sequence = range.end_sequence;  // the one after
  if (range.end == in.tokens || starts(in, sequence, range.end)) {
    fill_with_zeros(from_next, channels);
  } else {
    gradient_of_shifted(in, gradients.mixed, range.end, from_next);
  }
  normalise(in, moments(range.end - 1), range.end - 1, xhat);
  for (std::int64_t t = range.end - 1; t >= range.begin; --t) {
    const bool is_first = in.sequence_starts[sequence - 1] == t;
    if (t > 0) normalise(in, moments(t - 1), t - 1, xhat_before);
    if (is_first) {
      --sequence;
      for (std::int64_t c = 0; c < channels; c += kLanes)
        store(difference + c, previous(in, sequence, c) - affine(in, xhat, c));
    } else {
      for (std::int64_t c = 0; c < channels; c += kLanes)
        store(difference + c, (load(xhat_before + c) - load(xhat + c)) * load(in.weight + c));
    }
    TokenBackward<Element>{in, gradients, xhat, difference, e, from_next, sums}.run(t, kept.scale[t]);
    if (is_first) fill_with_zeros(from_next, channels);
    swap(xhat, xhat_before);
  }
}

#define VRWKV_INSTANTIATE(Element)                                                                         \
  template void norm_shift_mix_forward_range(const NormShiftMixInputs<Element>&, const NormShiftMixKept&,  \
                                             const NormShiftMixOutputs<Element>&, const PackedRange&,      \
                                             float*);                                                      \
  template void norm_shift_mix_backward_range(const NormShiftMixInputs<Element>&, const NormShiftMixKept&, \
                                              const NormShiftMixGradients<Element>&, const PackedRange&,   \
                                              float*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
