// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "common/random.h"

/// Lengths like those of the published instruction mixture, without its text: ten sources with their
/// published numbers of samples, tokens of text distributed log-normally within each.
namespace vrwkv::test {

inline constexpr std::int64_t kMixtureSamples = 665298;

struct MixtureLength {
  std::int64_t text_tokens = 0;
  std::int64_t images = 0;
};

struct MixtureSource {
  std::int64_t samples;
  double median, spread;  ///< of the text tokens; the logarithm's deviation
  std::int64_t least, most;
  std::int64_t images;
};

/// LLaVA-Instruct, VQAv2, OKVQA, A-OKVQA, RefCOCO, GQA, OCR-VQA, TextCaps, Visual Genome, ShareGPT. Numbers
/// of samples are published; lengths are estimates (one-word answers are short, merged questions are not,
/// ShareGPT was cut at 2,048).
inline constexpr std::array<MixtureSource, 10> kMixtureSources = {{
    {157712, 210, 0.45, 40, 1000, 1},
    {82783, 75, 0.35, 25, 400, 1},
    {8998, 35, 0.2, 20, 80, 1},
    {66160, 60, 0.2, 30, 150, 1},
    {48447, 200, 0.4, 40, 500, 1},
    {72140, 180, 0.5, 25, 800, 1},
    {80000, 90, 0.3, 30, 300, 1},
    {21953, 80, 0.3, 40, 300, 1},
    {86417, 260, 0.3, 40, 500, 1},
    {40688, 900, 0.7, 30, 2048, 0},
}};

/// The length of one sample: the same for the same number.
inline MixtureLength mixture_length(std::int64_t sample) {
  const MixtureSource* source = kMixtureSources.data();
  for (std::int64_t before = source->samples; sample >= before; before += source->samples) ++source;
  const auto uniform = [&](std::uint64_t draw) {
    return (static_cast<double>(mix64(static_cast<std::uint64_t>(sample) * 2 + draw + 1) >> 11) + 0.5) /
           9007199254740992.0;
  };
  const double normal =
      std::sqrt(-2 * std::log(uniform(0))) * std::cos(6.283185307179586 * uniform(1));  // Box and Muller
  const auto tokens = static_cast<std::int64_t>(source->median * std::exp(source->spread * normal));
  return {std::clamp(tokens, source->least, source->most), source->images};
}

}  // namespace vrwkv::test
