// SPDX-License-Identifier: Apache-2.0
#include "data/image/image.h"

#include <ATen/ops/empty.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "common/error.h"
#include "data/image/decoders.h"
#include "data/image/resize.h"
#include "data/storage/image_store.h"

namespace vrwkv::data {
namespace {

bool has_at(std::span<const std::uint8_t> bytes, std::size_t offset, std::string_view magic) {
  return bytes.size() >= offset + magic.size() &&
         std::memcmp(bytes.data() + offset, magic.data(), magic.size()) == 0;
}

Image decode_by_content(const EncodedImage& file) {
  const std::span<const std::uint8_t> bytes = file.bytes;
  if (has_at(bytes, 0, "\xff\xd8\xff")) return decode_jpeg(file);
  if (has_at(bytes, 0, "\x89PNG\r\n\x1a\n")) return decode_png(file);
  if (has_at(bytes, 0, "GIF87a") || has_at(bytes, 0, "GIF89a")) return decode_gif(file);
  if (has_at(bytes, 0, "RIFF") && has_at(bytes, 8, "WEBP")) return decode_webp(file);
  const auto start = bytes.first(std::min<std::size_t>(bytes.size(), 12));
  throw DataError(
      "{}: is not a JPEG, PNG, GIF or WebP image (its first bytes are {:02x}). Convert the file, or drop the "
      "sample.",
      file.path, fmt::join(start, " "));
}

Image pad_to_square(const EncodedImage& file, const Image& image) {
  const std::int64_t side = std::max(image.width, image.height);
  Image square = make_image(file, side, side);
  for (std::size_t i = 0; i < square.rgb.size(); ++i) square.rgb[i] = kPadColor[i % kPadColor.size()];
  const std::int64_t left = (side - image.width) / 2, top = (side - image.height) / 2;
  for (std::int64_t y = 0; y < image.height; ++y)
    std::copy_n(image.rgb.data() + y * image.width * 3, image.width * 3,
                square.rgb.data() + ((top + y) * side + left) * 3);
  return square;
}

}  // namespace

Image decode_image(const std::filesystem::path& path, const ImageOptions& options) {
  return decode_image(FolderStore(path.parent_path()).read(path.filename()), path.string(), options);
}

Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                   const ImageOptions& options) {
  const EncodedImage file{name, bytes, options.accept_truncated, options.most_pixels};
  Image image = decode_by_content(file);
  if (options.resize_mode == ResizeMode::kSquash || image.width == image.height) return image;
  return pad_to_square(file, image);
}

at::Tensor resize_to_square(const Image& image, std::int64_t size, ResizeOrder order) {
  const at::Tensor planes =
      at::empty({3, std::max<std::int64_t>(size, 0), std::max<std::int64_t>(size, 0)}, at::kByte);
  resize_bicubic(image, size, size,
                 {planes.mutable_data_ptr<std::uint8_t>(), static_cast<std::size_t>(planes.numel())}, order);
  return planes;
}

Image make_image(const EncodedImage& file, std::int64_t width, std::int64_t height) {
  if (width < 1 || height < 1)
    throw DataError("{}: is {} x {} pixels (nothing to see). Drop the sample.", file.path, width, height);
  if (width > kSideLimit || height > kSideLimit || width * height > file.most_pixels)
    throw DataError(
        "{}: is {} x {} pixels (the limits are {} per side and {} in all). Scale it down, or drop the "
        "sample.",
        file.path, width, height, kSideLimit, file.most_pixels);
  return {width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(width * height * 3))};
}

void throw_truncated(const EncodedImage& file, std::string_view format) {
  throw DataError(
      "{}: {} image is truncated (its {} bytes end too early). Fetch the file again, or drop the sample.",
      file.path, format, file.bytes.size());
}

void throw_corrupt(const EncodedImage& file, std::string_view format, std::string_view why) {
  throw DataError("{}: {} image is corrupt ({}). Fetch the file again, or drop the sample.", file.path,
                  format, why);
}

}  // namespace vrwkv::data
