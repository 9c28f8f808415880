// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace vrwkv::data {

/// More pixels than this are refused before they are allocated. It is Pillow's limit, so both refuse the same
/// files.
inline constexpr std::int64_t kPixelLimit = 178'956'970;

/// An RGB picture; both sides are at least 1.
struct Image {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::vector<std::uint8_t> rgb;  ///< height * width * 3, row by row, channels interleaved
};

/// Decodes a JPEG, PNG, GIF (first frame) or WebP (first frame) file, told apart by its first bytes, never by
/// its name.
///
/// The bytes equal those of Pillow's `Image.open(file).convert("RGB")`: grey is replicated, alpha is dropped
/// without compositing, CMYK is taken as Adobe writes it (inverted), 16-bit colour keeps its high byte but
/// 16-bit grey is clipped at 255, and an EXIF orientation is not applied.
/// @throws DataError  when the file cannot be read, is empty, of another format, truncated or corrupt, or has
/// more than
///                    kPixelLimit pixels. A JPEG whose damage libjpeg can bridge is decoded, as Pillow does.
Image decode_image(const std::filesystem::path& file);

/// Squashes an image to size x size, whatever its aspect ratio, by Pillow's 8-bit bicubic (see resize.h).
/// @return            (3, size, size) uint8, channels first, on the CPU.
/// @throws ShapeError when `size` is below 1 or `image` does not hold width * height * 3 bytes.
at::Tensor resize_to_square(const Image& image, std::int64_t size);

}  // namespace vrwkv::data
