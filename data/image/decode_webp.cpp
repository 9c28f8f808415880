// SPDX-License-Identifier: Apache-2.0
#include <webp/decode.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "data/image/decoders.h"

namespace vrwkv::data {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kRiffHeader = 12;  // "RIFF", size, "WEBP"
constexpr std::size_t kChunkHeader = 8;  // name, size
constexpr std::size_t kFrameHeader =
    16;  // of an ANMF chunk: x / 2, y / 2, width - 1, height - 1, duration, flags

[[noreturn]] void throw_failure(const EncodedImage& file, VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
      throw_truncated(file, "WebP");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      throw_corrupt(file, "WebP", "it uses an unknown feature");
    case VP8_STATUS_OUT_OF_MEMORY:
      throw_corrupt(file, "WebP", "it asks for more memory than there is");
    default:
      throw_corrupt(file, "WebP", "its bitstream is invalid");
  }
}

WebPBitstreamFeatures read_features(const EncodedImage& file, Bytes bytes) {
  WebPBitstreamFeatures features{};
  const VP8StatusCode status = WebPGetFeatures(bytes.data(), bytes.size(), &features);
  if (status != VP8_STATUS_OK) throw_failure(file, status);
  return features;
}

/// Decodes a still image to rows of RGB that start at `out`, `stride` bytes apart.
void decode_still(const EncodedImage& file, Bytes bytes, std::uint8_t* out, std::int64_t stride,
                  std::size_t size) {
  WebPDecoderConfig config{};
  if (WebPInitDecoderConfig(&config) == 0) throw_corrupt(file, "WebP", "libwebp's version does not fit");
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = out;
  config.output.u.RGBA.stride = static_cast<int>(stride);
  config.output.u.RGBA.size = size;
  const VP8StatusCode status = WebPDecode(bytes.data(), bytes.size(), &config);
  if (status != VP8_STATUS_OK) throw_failure(file, status);
}

std::int64_t little_endian(Bytes bytes, std::size_t offset, std::size_t count) {
  std::int64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value |= static_cast<std::int64_t>(bytes[offset + i]) << (8 * i);
  return value;
}

/// The content of the first animation frame's chunk.
Bytes find_first_frame(const EncodedImage& file) {
  Bytes rest = file.bytes.subspan(kRiffHeader);
  while (rest.size() >= kChunkHeader) {
    const auto size = static_cast<std::size_t>(little_endian(rest, 4, 4));
    const bool is_frame = std::memcmp(rest.data(), "ANMF", 4) == 0;
    rest = rest.subspan(kChunkHeader);
    if (size > rest.size()) break;
    if (is_frame && size >= kFrameHeader) return rest.first(size);
    rest = rest.subspan(std::min(size + size % 2, rest.size()));
  }
  throw_truncated(file, "WebP");
}

/// The first frame at its place on a black canvas, which is Pillow's transparent canvas without its alpha.
Image decode_first_frame(const EncodedImage& file, std::int64_t canvas_width, std::int64_t canvas_height) {
  const Bytes frame = find_first_frame(file);
  const std::int64_t left = 2 * little_endian(frame, 0, 3);
  const std::int64_t top = 2 * little_endian(frame, 3, 3);
  const Bytes still = frame.subspan(kFrameHeader);
  const WebPBitstreamFeatures features = read_features(file, still);
  if (left + features.width > canvas_width || top + features.height > canvas_height)
    throw_corrupt(file, "WebP", "its first frame does not fit the canvas");
  Image image = make_image(file, canvas_width, canvas_height);
  const std::size_t offset = static_cast<std::size_t>((top * canvas_width + left) * 3);
  decode_still(file, still, image.rgb.data() + offset, canvas_width * 3, image.rgb.size() - offset);
  return image;
}

}  // namespace

Image decode_webp(const EncodedImage& file) {
  // Pillow accepts no file that is shorter than it says, not even one whose first frame is whole.
  const auto stated = static_cast<std::size_t>(little_endian(file.bytes, 4, 4));
  if (kChunkHeader + stated > file.bytes.size()) throw_truncated(file, "WebP");
  const WebPBitstreamFeatures features = read_features(file, file.bytes);
  if (features.has_animation != 0) return decode_first_frame(file, features.width, features.height);
  Image image = make_image(file, features.width, features.height);
  decode_still(file, file.bytes, image.rgb.data(), image.width * 3, image.rgb.size());
  return image;
}

}  // namespace vrwkv::data
