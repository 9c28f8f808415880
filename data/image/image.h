// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace vrwkv::data {

/// More pixels than this are refused before they are allocated. It is Pillow's limit.
inline constexpr std::int64_t kPixelLimit = 178'956'970;
/// A longer side is refused, too: the memory that a resize needs beside the pixels grows with it.
inline constexpr std::int64_t kSideLimit = 1'000'000;

/// An RGB picture; both sides are at least 1.
struct Image {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::vector<std::uint8_t> rgb;  ///< height * width * 3, row by row, channels interleaved
};

/// Which pass comes first decides how the 8-bit values between the passes round.
enum class ResizeOrder {
  kHorizontalFirst,  ///< Pillow before 13: the published models were trained so
  kPillow13,         ///< vertical first where the height shrinks by more than twice what the width does
};

/// How an image becomes a square.
enum class ResizeMode {
  kSquash,  ///< whatever its aspect ratio
  kPad,     ///< its short side is padded to the long one, the image in the middle, as LLaVA-1.5 does
};

/// What kPad puts around an image: int(255 m) of the means m that CLIP's images are normalised with,
/// whichever the encoder, because encoders of one size share their pixels.
inline constexpr std::array<std::uint8_t, 3> kPadColor = {122, 116, 104};

struct ImageOptions {
  /// A JPEG, PNG or GIF file that ends too early is decoded as far as it goes, as Pillow does with
  /// LOAD_TRUNCATED_IMAGES; otherwise it is refused.
  bool accept_truncated = false;
  ResizeOrder resize_order = ResizeOrder::kHorizontalFirst;
  std::int64_t most_pixels = kPixelLimit;  ///< larger images are refused, padding included
  ResizeMode resize_mode = ResizeMode::kSquash;
};

/// Decodes a JPEG, PNG, GIF or WebP file (the first frame), told apart by its first bytes, never by its name.
///
/// The bytes equal those of Pillow's `Image.open(file).convert("RGB")`: grey is replicated, alpha is dropped
/// without compositing, CMYK is taken as Adobe writes it (inverted), 16-bit colour keeps its high byte but
/// 16-bit grey is clipped at 255, and an EXIF orientation is not applied.
/// Damage that a codec bridges by itself (wrong entropy-coded data in a JPEG) goes unnoticed, as in Pillow;
/// so may the loss of bytes after the last pixel.
/// With ResizeMode::kPad the image is padded to a square; where the padding is odd, right and below have
/// more.
/// @throws DataError when the file cannot be read, is empty, of another format, damaged, truncated (unless
/// accepted) or beyond a limit.
Image decode_image(const std::filesystem::path& file, const ImageOptions& options = {});
/// The same from the bytes of a file; `name` stands for it in messages.
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, const ImageOptions& options);

/// Squashes an image to size x size, whatever its aspect ratio, by Pillow's 8-bit bicubic (see resize.h).
/// @return (3, size, size) uint8, channels first, on the CPU.
/// @throws ShapeError when `size` is below 1 or `image` does not hold width * height * 3 bytes.
at::Tensor resize_to_square(const Image& image, std::int64_t size,
                            ResizeOrder order = ResizeOrder::kHorizontalFirst);

}  // namespace vrwkv::data
