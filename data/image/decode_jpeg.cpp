// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "data/image/decoders.h"
#include "data/image/jpeg_decompressor.h"
#include "data/image/smooth_jpeg.h"

namespace vrwkv::data {
namespace {

[[noreturn]] void throw_failure(const EncodedImage& file, const JpegDecompressor& decompressor) {
  if (decompressor.truncated()) throw_truncated(file, "JPEG");
  throw_corrupt(file, "JPEG", decompressor.message());
}

/// One row of CMYK as Adobe stores it (255 is no ink) to RGB, with Pillow's rounding.
void convert_inverted_cmyk_row(const std::uint8_t* cmyk, std::uint8_t* rgb, std::int64_t width) {
  for (std::int64_t x = 0; x < width; ++x) {
    const int light = cmyk[4 * x + 3];
    for (std::int64_t channel = 0; channel < 3; ++channel) {
      const int product = (255 - cmyk[4 * x + channel]) * light + 128;
      rgb[3 * x + channel] = static_cast<std::uint8_t>(light - (((product >> 8) + product) >> 8));
    }
  }
}

}  // namespace

// libjpeg's defaults are Pillow's: the slow integer inverse DCT and the smooth ("fancy") chroma upsampling.
// Rows that an accepted file never reaches are black or, where it holds inks, white: nothing was put there.
Image decode_jpeg(const EncodedImage& file) {
  JpegDecompressor decompressor(file.bytes);
  if (!decompressor.open()) throw_failure(file, decompressor);
  if (file.accept_truncated) decompressor.mend_end();

  jpeg_decompress_struct& info = decompressor.info();
  Image image = make_image(file, info.image_width, info.image_height);
  const bool is_cmyk = info.num_components == 4;
  std::vector<std::uint8_t> cmyk(is_cmyk ? static_cast<std::size_t>(image.width) * 4 : 0);
  if (is_cmyk) std::fill(image.rgb.begin(), image.rgb.end(), std::uint8_t{255});
  bool is_partial = false;
  const bool decoded = decompressor.attempt([&] {
    jpeg_start_decompress(&info);
    is_partial = lacks_scans(info);
    while (!is_partial && info.output_scanline < info.output_height) {
      std::uint8_t* rgb = image.rgb.data() + static_cast<std::size_t>(info.output_scanline) * image.width * 3;
      JSAMPROW row = is_cmyk ? cmyk.data() : rgb;
      jpeg_read_scanlines(&info, &row, 1);
      if (is_cmyk) convert_inverted_cmyk_row(cmyk.data(), rgb, image.width);
    }
  });
  if (!decoded && !(file.accept_truncated && decompressor.truncated())) throw_failure(file, decompressor);
  if (!is_partial) return image;
  const std::vector<std::uint8_t> smooth = smooth_jpeg(file);
  return decode_jpeg({file.path, smooth, /*accept_truncated=*/false, file.most_pixels});
}

}  // namespace vrwkv::data
