// SPDX-License-Identifier: Apache-2.0
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "common/unique_handle.h"
#include "data/image/decoders.h"

namespace vrwkv::data {
namespace {

struct GifTraits {
  using type = GifFileType*;
  static constexpr type null() noexcept { return nullptr; }
  static void release(type gif) noexcept { DGifCloseFile(gif, nullptr); }
};
using GifHandle = UniqueHandle<GifTraits>;
using Palette = std::array<GifColorType, 256>;

int read_some(GifFileType* gif, GifByteType* out, int count) {
  auto& rest = *static_cast<std::span<const std::uint8_t>*>(gif->UserData);
  const std::size_t copied = std::min(rest.size(), static_cast<std::size_t>(std::max(count, 0)));
  std::copy_n(rest.begin(), copied, out);
  rest = rest.subspan(copied);
  return static_cast<int>(copied);
}

bool is_truncation(int error) { return error == D_GIF_ERR_READ_FAILED || error == D_GIF_ERR_EOF_TOO_SOON; }

[[noreturn]] void throw_failure(const EncodedImage& file, int error) {
  if (is_truncation(error)) throw_truncated(file, "GIF");
  const char* why = GifErrorString(error);
  throw_corrupt(file, "GIF", why != nullptr ? why : "unknown reason");
}

void check(const EncodedImage& file, const GifFileType* gif, int result) {
  if (result == GIF_ERROR) throw_failure(file, gif->Error);
}

/// Reads one extension; a graphic control extension may set the transparent index.
void read_extension(const EncodedImage& file, GifFileType* gif, std::optional<std::uint8_t>& transparent) {
  int code = 0;
  GifByteType* block = nullptr;  // first byte: length
  check(file, gif, DGifGetExtension(gif, &code, &block));
  if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr && block[0] >= 4 && (block[1] & 1) != 0)
    transparent = block[4];
  while (block != nullptr) check(file, gif, DGifGetExtensionNext(gif, &block));
}

/// Goes to the first frame's pixels; its place is then in gif->Image. Returns the transparent index, if any.
std::optional<std::uint8_t> seek_first_frame(const EncodedImage& file, GifFileType* gif) {
  std::optional<std::uint8_t> transparent;
  while (true) {
    GifRecordType record = UNDEFINED_RECORD_TYPE;
    check(file, gif, DGifGetRecordType(gif, &record));
    if (record == IMAGE_DESC_RECORD_TYPE) break;
    if (record == TERMINATE_RECORD_TYPE) throw_corrupt(file, "GIF", "it holds no frame");
    if (record == EXTENSION_RECORD_TYPE) read_extension(file, gif, transparent);
  }
  check(file, gif, DGifGetImageDesc(gif));
  return transparent;
}

Palette grey_palette() {
  Palette grey{};
  for (std::size_t i = 0; i < grey.size(); ++i) {
    const auto level = static_cast<GifByteType>(i);
    grey[i] = {level, level, level};
  }
  return grey;
}

/// The frame's own colours, else the file's, else grey levels. Colours that a map does not define are black,
/// and a map that only spells out grey levels counts as none: both as in Pillow.
Palette find_palette(const GifFileType* gif) {
  const Palette grey = grey_palette();
  for (const ColorMapObject* map : {gif->Image.ColorMap, gif->SColorMap}) {
    if (map == nullptr) continue;
    const std::size_t count = std::min<std::size_t>(static_cast<std::size_t>(map->ColorCount), grey.size());
    if (std::memcmp(map->Colors, grey.data(), count * sizeof(GifColorType)) == 0) continue;
    Palette palette{};
    std::copy_n(map->Colors, count, palette.begin());
    return palette;
  }
  return grey;
}

/// The order in which a frame's rows are stored.
std::vector<std::int64_t> row_order(std::int64_t height, bool interlaced) {
  struct Pass {
    std::int64_t first, step;
  };
  static constexpr std::array<Pass, 4> kInterlaced{{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
  static constexpr std::array<Pass, 1> kPlain{{{0, 1}}};
  std::vector<std::int64_t> order;
  order.reserve(static_cast<std::size_t>(height));
  for (const Pass pass : interlaced ? std::span<const Pass>(kInterlaced) : std::span<const Pass>(kPlain))
    for (std::int64_t y = pass.first; y < height; y += pass.step) order.push_back(y);
  return order;
}

void put_color(std::uint8_t* pixel, const GifColorType& color) {
  pixel[0] = color.Red;
  pixel[1] = color.Green;
  pixel[2] = color.Blue;
}

}  // namespace

// As in Pillow, the canvas grows to hold the frame, and what the frame leaves free has the colour of the
// transparent index or, without one, of index 0; the background index of the file plays no part. So has what
// a file that ends too early does not reach.
Image decode_gif(const EncodedImage& file) {
  std::span<const std::uint8_t> rest = file.bytes;
  int error = 0;
  const GifHandle gif(DGifOpen(&rest, &read_some, &error));
  if (!gif) throw_failure(file, error);
  const std::uint8_t free_index = seek_first_frame(file, gif.get()).value_or(0);

  const GifImageDesc& frame = gif.get()->Image;
  if (frame.Width < 1 || frame.Height < 1) throw_corrupt(file, "GIF", "its first frame has no pixels");
  Image image = make_image(file, std::max(gif.get()->SWidth, frame.Left + frame.Width),
                           std::max(gif.get()->SHeight, frame.Top + frame.Height));
  const Palette palette = find_palette(gif.get());
  for (std::size_t i = 0; i < image.rgb.size(); i += 3) put_color(&image.rgb[i], palette[free_index]);

  std::vector<GifPixelType> indices(static_cast<std::size_t>(frame.Width));
  bool is_cut = false;
  for (const std::int64_t y : row_order(frame.Height, frame.Interlace)) {
    if (is_cut) break;
    std::fill(indices.begin(), indices.end(), free_index);
    const int result = DGifGetLine(gif.get(), indices.data(), frame.Width);
    is_cut = result == GIF_ERROR && file.accept_truncated && is_truncation(gif.get()->Error);
    if (!is_cut) check(file, gif.get(), result);
    std::uint8_t* row = image.rgb.data() + ((frame.Top + y) * image.width + frame.Left) * 3;
    for (int x = 0; x < frame.Width; ++x) put_color(row + 3 * x, palette[indices[x]]);
  }
  return image;
}

}  // namespace vrwkv::data
