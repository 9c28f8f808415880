// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "data/storage/image_store.h"

namespace vrwkv::data {

/// What frozen encoders made of images, computed before: read instead of the images.
class ImageFeatures {
 public:
  virtual ~ImageFeatures() = default;

  /// @param source  which of the mixture's it is from.
  /// @param image   its path as the data file has it.
  /// @return        (P, D), on the CPU: what the model projects.
  /// @throws DataError when there are none, with the reason that was found when the image was to be encoded.
  /// Threads may call it at once.
  virtual at::Tensor read(std::size_t source, const std::string& image) const = 0;
  /// Of what read() returns.
  virtual std::int64_t bytes_per_image() const = 0;
};

/// What stands before the paths of each source's images: "" for the first source and those with the same
/// image folder, then "1:", "2:" for each other, so that equal paths in different folders are different
/// images.
std::vector<std::string> feature_prefixes(const std::vector<ImagePlaces>& image_folders);

}  // namespace vrwkv::data
