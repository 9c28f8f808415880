// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>

#include "data/image/decoders.h"

namespace vrwkv::data {
namespace {

/// How the rows that libpng hands over are stored.
enum class PngPixels { kRgb, kPaletteIndex, kGrey16 };

/// Owns libpng's reader over bytes in memory. libpng reports failure through a callback that must not return;
/// it jumps back into attempt(), so what runs inside attempt() must own nothing with a destructor.
class PngReader {
 public:
  /// @param is_mended  a chunk was cut, so that its checksum means nothing.
  PngReader(std::span<const std::uint8_t> bytes, bool is_mended) : rest_(bytes) {
    attempt([&] {
      png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &PngReader::on_error,
                                    [](png_structp, png_const_charp) {});
      if (png_ == nullptr) return;
      info_ = png_create_info_struct(png_);
      png_set_read_fn(png_, this, &PngReader::on_read);
      if (is_mended) png_set_crc_action(png_, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
      png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // make_image() has the limits that count
    });
  }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }

  bool ready() const { return png_ != nullptr && info_ != nullptr; }
  /// Runs `step()`; false when libpng gave up inside it.
  template <class Step>
  bool attempt(Step step) {
    if (setjmp(escape_) != 0) return false;
    step();
    return true;
  }
  /// Reads up to the pixels.
  void read_header() { png_read_info(png_, info_); }
  /// Asks for rows that are RGB wherever libpng's conversion is Pillow's, and makes room for one.
  void prepare_rows() {
    const int depth = png_get_bit_depth(png_, info_);
    const int color = png_get_color_type(png_, info_);
    pixels_ = color == PNG_COLOR_TYPE_PALETTE               ? PngPixels::kPaletteIndex
              : color == PNG_COLOR_TYPE_GRAY && depth == 16 ? PngPixels::kGrey16
                                                            : PngPixels::kRgb;
    if (pixels_ == PngPixels::kPaletteIndex) png_set_packing(png_);
    if (pixels_ == PngPixels::kRgb) {
      png_set_strip_16(png_);
      png_set_strip_alpha(png_);
      png_set_expand_gray_1_2_4_to_8(png_);
      png_set_gray_to_rgb(png_);
    }
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
  }
  void read_rows(png_bytepp rows) { png_read_image(png_, rows); }

  PngPixels pixels() const { return pixels_; }
  std::int64_t width() const { return png_get_image_width(png_, info_); }
  std::int64_t height() const { return png_get_image_height(png_, info_); }
  std::size_t row_bytes() const { return png_get_rowbytes(png_, info_); }
  /// All 256 colours; those that the file does not define are black, as in Pillow.
  std::array<png_color, 256> palette() const {
    std::array<png_color, 256> all{};
    png_colorp colors = nullptr;
    int count = 0;
    png_get_PLTE(png_, info_, &colors, &count);
    std::copy_n(colors, count, all.begin());
    return all;
  }
  [[noreturn]] void throw_failure(const EncodedImage& file) const {
    if (truncated_) throw_truncated(file, "PNG");
    throw_corrupt(file, "PNG", message_.data());
  }

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto& reader = *static_cast<PngReader*>(png_get_error_ptr(png));
    std::strncpy(reader.message_.data(), message, reader.message_.size() - 1);
    std::longjmp(reader.escape_, 1);
  }
  static void on_read(png_structp png, png_bytep out, std::size_t count) {
    auto& reader = *static_cast<PngReader*>(png_get_io_ptr(png));
    if (count > reader.rest_.size()) {
      reader.truncated_ = true;
      png_error(png, "end of file");
    }
    std::memcpy(out, reader.rest_.data(), count);
    reader.rest_ = reader.rest_.subspan(count);
  }

  std::span<const std::uint8_t> rest_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  PngPixels pixels_ = PngPixels::kRgb;
  std::jmp_buf escape_{};
  std::array<char, 200> message_{};
  bool truncated_ = false;
};

std::vector<png_bytep> row_pointers(std::vector<std::uint8_t>& pixels, std::int64_t height,
                                    std::size_t row_bytes) {
  std::vector<png_bytep> rows(static_cast<std::size_t>(height));
  for (std::size_t y = 0; y < rows.size(); ++y) rows[y] = pixels.data() + y * row_bytes;
  return rows;
}

void expand_palette(const std::vector<std::uint8_t>& indices, const std::array<png_color, 256>& palette,
                    Image& image) {
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const png_color color = palette[indices[i]];
    image.rgb[3 * i] = color.red;
    image.rgb[3 * i + 1] = color.green;
    image.rgb[3 * i + 2] = color.blue;
  }
}

/// Pillow's rule, which makes most 16-bit grey images look white: the value is clipped, not scaled.
void expand_grey16(const std::vector<std::uint8_t>& big_endian, Image& image) {
  for (std::size_t i = 0; 2 * i < big_endian.size(); ++i) {
    const std::uint8_t grey = big_endian[2 * i] == 0 ? big_endian[2 * i + 1] : 255;
    for (std::size_t channel = 0; channel < 3; ++channel) image.rgb[3 * i + channel] = grey;
  }
}

}  // namespace

namespace {

std::uint32_t big_endian(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
         bytes[3];
}

/// A file that ends inside or right after a chunk of pixels as one that libpng decodes as far as it goes:
/// that chunk holds what is there, and the end follows. Nothing when the file ends elsewhere; as in Pillow,
/// that includes the head of a further chunk once it says that the chunk has content.
std::vector<std::uint8_t> mend_end(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t kSignature = 8, kHeader = 8, kChecksum = 4;
  constexpr std::array<std::uint8_t, 12> kEnd = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
  std::vector<std::uint8_t> mended;
  std::size_t chunk = kSignature;
  bool is_pixels = false;
  for (; chunk + kHeader <= bytes.size(); chunk += kHeader + big_endian(bytes.data() + chunk) + kChecksum) {
    is_pixels = std::memcmp(bytes.data() + chunk + 4, "IDAT", 4) == 0;
    const std::size_t rest = bytes.size() - chunk - kHeader;
    const std::size_t length = big_endian(bytes.data() + chunk);
    if (length + kChecksum <= rest) continue;
    if (!is_pixels) return {};
    const auto available = static_cast<std::uint32_t>(std::min(length, rest));
    const auto pixels = bytes.subspan(chunk + kHeader, available);
    mended.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(chunk));
    for (int shift = 24; shift >= 0; shift -= 8)
      mended.push_back(static_cast<std::uint8_t>(available >> shift));
    mended.insert(mended.end(), {'I', 'D', 'A', 'T'});
    mended.insert(mended.end(), pixels.begin(), pixels.end());
    mended.insert(mended.end(), kChecksum, 0);  // not compared
    mended.insert(mended.end(), kEnd.begin(), kEnd.end());
    return mended;
  }
  if (!is_pixels || (chunk + 4 <= bytes.size() && big_endian(bytes.data() + chunk) > 0)) return {};
  mended.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(std::min(chunk, bytes.size())));
  mended.insert(mended.end(), kEnd.begin(), kEnd.end());
  return mended;
}

}  // namespace

// The rows are all that is needed: a file without its end chunk is decoded, as in Pillow.
Image decode_png(const EncodedImage& file) {
  const std::vector<std::uint8_t> mended =
      file.accept_truncated ? mend_end(file.bytes) : std::vector<std::uint8_t>();
  PngReader reader(mended.empty() ? file.bytes : std::span<const std::uint8_t>(mended), !mended.empty());
  if (!reader.ready() || !reader.attempt([&] { reader.read_header(); })) reader.throw_failure(file);

  Image image = make_image(file, reader.width(), reader.height());
  if (!reader.attempt([&] { reader.prepare_rows(); })) reader.throw_failure(file);
  std::vector<std::uint8_t> other;
  if (reader.pixels() != PngPixels::kRgb)
    other.resize(reader.row_bytes() * static_cast<std::size_t>(image.height));
  std::vector<std::uint8_t>& pixels = reader.pixels() == PngPixels::kRgb ? image.rgb : other;
  std::vector<png_bytep> rows = row_pointers(pixels, image.height, reader.row_bytes());
  if (!reader.attempt([&] { reader.read_rows(rows.data()); }) && mended.empty()) reader.throw_failure(file);

  if (reader.pixels() == PngPixels::kPaletteIndex) expand_palette(other, reader.palette(), image);
  if (reader.pixels() == PngPixels::kGrey16) expand_grey16(other, image);
  return image;
}

}  // namespace vrwkv::data
