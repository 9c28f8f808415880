// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/ledger/quarantine.h"
#include "data/plan/substitution.h"
#include "data/text/conversation.h"

namespace vrwkv::data {

/// One sample, loaded.
struct Sample {
  std::int64_t record = 0;  ///< index in the data file
  std::string id;
  Encoded tokens;
  std::map<std::int64_t, std::vector<at::Tensor>> pixels;  ///< size S -> one (3, S, S) uint8 for each image
  std::vector<at::Tensor> features;                        ///< or one (P, D) for each image, stored before
  bool was_cut = false;                                    ///< it was longer than the context
  std::string bad;  ///< why it cannot be trained on, as a whole message; empty when it is good

  std::optional<Replacement> replacement;  ///< when it is not its place's own sample, or is bad
  std::vector<BadSample> rejected;         ///< those that were found to be bad before it
};

/// Samples end to end, with nothing between or after them.
struct MicroBatch {
  struct Packed {
    std::int64_t record = 0;
    std::string id;
    std::int64_t tokens = 0, targets = 0, images = 0;
    bool was_cut = false;
  };

  at::Tensor token_ids;        ///< (T) int64, kImageToken where an image goes
  at::Tensor labels;           ///< (T) int64, aligned with token_ids: the shift by one happens in the loss
  at::Tensor sequence_starts;  ///< (S) int64: where each sample begins
  at::Tensor image_starts;     ///< (I) int64: position in T of each image's first placeholder
  /// Image size S -> (I) pictures, each (3, S, S) uint8; every size in use is there.
  std::map<std::int64_t, std::vector<at::Tensor>> pixels;
  at::Tensor features;  ///< (I, P, D) in place of pixels, when features are stored; or undefined
  std::vector<std::int64_t> targets;  ///< (S): positions of each sample that count in the loss

  std::vector<Packed> packed;  ///< (S): which samples these are
  std::vector<BadSample> bad;  ///< samples that were found to be bad, whether or not others replace them
  std::vector<Replacement> replacements;  ///< by place

  std::int64_t tokens() const { return token_ids.numel(); }
  /// Sum of `targets`.
  std::int64_t supervised_tokens() const;
};

/// Packs samples in their order; those marked bad only enter the list. All tensors are on the CPU; pixels are
/// the samples' own, not copied. With no good sample T, S and I are 0.
/// @param image_sizes  the sizes that every sample with images was loaded in; empty: they bring features.
MicroBatch pack(const std::vector<Sample>& samples, const std::vector<std::int64_t>& image_sizes);

}  // namespace vrwkv::data
