// SPDX-License-Identifier: Apache-2.0
#include "data/image/image.h"

#include <ATen/ops/empty.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>
#include <system_error>

#include "common/error.h"
#include "data/image/decoders.h"
#include "data/image/resize.h"

namespace vrwkv::data {
namespace {

std::vector<std::uint8_t> read_bytes(const std::filesystem::path& path) {
  constexpr std::string_view kAdvice = "Check the image folder and the sample's file name";
  std::error_code failure;
  const std::uintmax_t size = std::filesystem::file_size(path, failure);
  if (failure) throw DataError("{}: cannot be read ({}). {}.", path.string(), failure.message(), kAdvice);
  if (size == 0)
    throw DataError("{}: is empty (0 bytes hold no image). Fetch the file again, or drop the sample.",
                    path.string());
  std::vector<std::uint8_t> bytes(size);
  std::ifstream stream(path, std::ios::binary);
  if (!stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size)))
    throw DataError("{}: cannot be read ({}). {}.", path.string(), std::strerror(errno), kAdvice);
  return bytes;
}

bool has_at(std::span<const std::uint8_t> bytes, std::size_t offset, std::string_view magic) {
  return bytes.size() >= offset + magic.size() &&
         std::memcmp(bytes.data() + offset, magic.data(), magic.size()) == 0;
}

}  // namespace

Image decode_image(const std::filesystem::path& path, const ImageOptions& options) {
  return decode_image(read_bytes(path), path.string(), options);
}

Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                   const ImageOptions& options) {
  const EncodedImage file{name, bytes, options.accept_truncated, options.most_pixels};
  if (has_at(bytes, 0, "\xff\xd8\xff")) return decode_jpeg(file);
  if (has_at(bytes, 0, "\x89PNG\r\n\x1a\n")) return decode_png(file);
  if (has_at(bytes, 0, "GIF87a") || has_at(bytes, 0, "GIF89a")) return decode_gif(file);
  if (has_at(bytes, 0, "RIFF") && has_at(bytes, 8, "WEBP")) return decode_webp(file);
  const auto start = file.bytes.first(std::min<std::size_t>(bytes.size(), 12));
  throw DataError(
      "{}: is not a JPEG, PNG, GIF or WebP image (its first bytes are {:02x}). Convert the file, or drop the "
      "sample.",
      file.path, fmt::join(start, " "));
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
