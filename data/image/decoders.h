// SPDX-License-Identifier: Apache-2.0
// What the decoders of the single formats share; decode_image() in image.h is the way in.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "data/image/image.h"

namespace vrwkv::data {

/// A whole image file in memory and the path to name in errors.
struct EncodedImage {
  std::string path;
  std::span<const std::uint8_t> bytes;
  bool accept_truncated = false;           ///< see ImageOptions; not WebP
  std::int64_t most_pixels = kPixelLimit;  ///< see ImageOptions
};

/// Each decodes one format, whose first bytes the caller has seen. @throws DataError as decode_image() says.
Image decode_jpeg(const EncodedImage& file);
Image decode_png(const EncodedImage& file);
Image decode_gif(const EncodedImage& file);
Image decode_webp(const EncodedImage& file);

/// A black image of this size. @throws DataError when a side is zero or a limit of image.h is passed.
Image make_image(const EncodedImage& file, std::int64_t width, std::int64_t height);

/// @throws DataError always: the file ends too early.
[[noreturn]] void throw_truncated(const EncodedImage& file, std::string_view format);
/// @throws DataError always: the codec refused the file for the reason given.
[[noreturn]] void throw_corrupt(const EncodedImage& file, std::string_view format, std::string_view why);

}  // namespace vrwkv::data
