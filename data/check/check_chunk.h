// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "data/check/finding.h"
#include "data/image/image.h"
#include "data/index/mixture.h"
#include "data/storage/image_store.h"

namespace vrwkv::data {

/// A piece of the check of a mixture: some of its samples, or some distinct images of one of its sources.
struct CheckChunk {
  bool is_images = false;
  std::int64_t source = 0;  ///< of images
  std::int64_t first = 0;   ///< record number, or number of the image
  std::int64_t count = 0;
};

/// What a chunk gave.
struct ChunkFindings {
  std::vector<Finding> findings;  ///< by number
  std::vector<std::int64_t>
      image_sides;  ///< of images: how many in each of kSideClasses; a broken one in none
};

/// All chunks of a mixture's check, always the same ones: together every sample and every distinct image
/// once.
std::vector<CheckChunk> check_chunks(const Mixture& mixture);

/// Looks at every sample, or decodes every image, of a chunk, on so many threads; `stores` are the images of
/// each source. What a sample's text alone
/// can have: bad: no_turns, odd_roles (a speaker that is neither), image_marks, image_without_encoder,
/// empty_answer, no_target, context_too_short; only worth a look: over_long (loses its end),
/// roles_out_of_turn, mark_as_text (`<image>` without image).
ChunkFindings check_chunk(const Mixture& mixture, const ImageStores& stores, const CheckChunk& chunk,
                          const ImageOptions& options, int threads);

}  // namespace vrwkv::data
