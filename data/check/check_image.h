// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "data/check/finding.h"
#include "data/image/image.h"
#include "data/storage/image_store.h"

namespace vrwkv::data {

/// An image with a shorter side is bad: it stands for one that was not to be had.
inline constexpr std::int64_t kLeastSide = 10;
/// An image of more pixels is worth a look: it takes long to decode.
inline constexpr std::int64_t kUsualPixels = std::int64_t{4096} * 4096;

struct ImageCheck {
  std::int64_t longer_side = 0;  ///< pixels; 0 when it could not be decoded
  /// Of kind missing, unreadable, truncated, too_small or too_large; its number is left to the caller.
  std::optional<Finding> finding;
};

/// Decodes an image whole and says what is wrong with it. A truncated one is bad unless `options` accept it.
ImageCheck check_image(const ImageStore& store, const std::string& name, const ImageOptions& options);

}  // namespace vrwkv::data
