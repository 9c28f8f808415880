// SPDX-License-Identifier: Apache-2.0
#include "data/check/check_image.h"

#include <algorithm>

#include "common/error.h"

namespace vrwkv::data {
namespace {

std::optional<Finding> size_finding(const std::string& file, const Image& image) {
  const std::string size = fmt::format("{}: {} x {} pixels", file, image.width, image.height);
  if (std::min(image.width, image.height) < kLeastSide)
    return Finding{0, "too_small", true, fmt::format("{} (there is nothing to see).", size)};
  if (image.width * image.height > kUsualPixels)
    return Finding{0, "too_large", false, fmt::format("{} (it takes long to decode). Shrink it.", size)};
  return {};
}

}  // namespace

ImageCheck check_image(const ImageStore& store, const std::string& name, const ImageOptions& options) {
  const std::string file = store.describe(name);
  ImageOptions strict = options;
  strict.accept_truncated = false;
  ImageOptions lenient = options;
  lenient.accept_truncated = true;
  try {
    const Image image = decode_image(store.read(name), file, strict);
    return {std::max(image.width, image.height), size_finding(file, image)};
  } catch (const DataError& error) {
    if (!store.has(name)) return {0, Finding{0, "missing", true, error.what()}};
    try {
      const Image image = decode_image(store.read(name), file, lenient);
      return {std::max(image.width, image.height),
              Finding{0, "truncated", !options.accept_truncated, error.what()}};
    } catch (const DataError&) {
      return {0, Finding{0, "unreadable", true, error.what()}};
    }
  }
}

}  // namespace vrwkv::data
