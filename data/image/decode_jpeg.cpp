// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <csetjmp>

#include "data/image/decoders.h"

// libjpeg's headers do not include what they need, so their order matters.
// clang-format off
#include <cstddef>
#include <cstdio>
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

namespace vrwkv::data {
namespace {

/// Owns libjpeg's decompressor over bytes in memory. libjpeg reports failure through a callback that must not
/// return; it jumps back into attempt(), so what runs inside attempt() must own nothing with a destructor.
class JpegDecompressor {
 public:
  explicit JpegDecompressor(std::span<const std::uint8_t> bytes) {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = &JpegDecompressor::on_error;
    errors_.emit_message = [](j_common_ptr, int) {};  // warnings: Pillow accepts what libjpeg can bridge
    source_.next_input_byte = bytes.data();
    source_.bytes_in_buffer = bytes.size();
    source_.init_source = [](j_decompress_ptr) {};
    source_.fill_input_buffer = &JpegDecompressor::on_end_of_bytes;
    source_.skip_input_data = &JpegDecompressor::skip;
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.term_source = [](j_decompress_ptr) {};
  }
  JpegDecompressor(const JpegDecompressor&) = delete;
  JpegDecompressor& operator=(const JpegDecompressor&) = delete;
  ~JpegDecompressor() { jpeg_destroy_decompress(&info_); }

  /// Runs `step(info)`; false when libjpeg gave up inside it.
  template <class Step>
  bool attempt(Step step) {
    if (setjmp(escape_) != 0) return false;
    step(info_);
    return true;
  }
  jpeg_source_mgr* source() { return &source_; }
  const jpeg_decompress_struct& info() const { return info_; }
  /// From now on the end marker that truncated bytes lack is added, once.
  void mend_end() { mends_end_ = true; }
  bool truncated() const { return truncated_; }
  const char* message() const { return message_.data(); }

 private:
  static JpegDecompressor& self(j_common_ptr info) {
    return *static_cast<JpegDecompressor*>(info->client_data);
  }
  [[noreturn]] static void on_error(j_common_ptr info) {
    JpegDecompressor& decompressor = self(info);
    info->err->format_message(info, decompressor.message_.data());
    std::longjmp(decompressor.escape_, 1);
  }
  static boolean on_end_of_bytes(j_decompress_ptr info) {
    static constexpr std::array<JOCTET, 2> kEndOfImage = {0xff, JPEG_EOI};
    JpegDecompressor& decompressor = self(reinterpret_cast<j_common_ptr>(info));
    if (decompressor.mends_end_ && !decompressor.truncated_) {
      decompressor.truncated_ = true;
      info->src->next_input_byte = kEndOfImage.data();
      info->src->bytes_in_buffer = kEndOfImage.size();
      return TRUE;
    }
    decompressor.truncated_ = true;
    ERREXIT(info, JERR_INPUT_EOF);
    return FALSE;
  }
  static void skip(j_decompress_ptr info, long bytes) {
    if (bytes <= 0) return;
    // What is to be skipped beyond the end is no reason to invent an end.
    if (static_cast<std::size_t>(bytes) > info->src->bytes_in_buffer) {
      self(reinterpret_cast<j_common_ptr>(info)).mends_end_ = false;
      on_end_of_bytes(info);
    }
    info->src->next_input_byte += bytes;
    info->src->bytes_in_buffer -= static_cast<std::size_t>(bytes);
  }

  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  jpeg_source_mgr source_{};
  std::jmp_buf escape_{};
  std::array<char, JMSG_LENGTH_MAX> message_{};
  bool truncated_ = false;
  bool mends_end_ = false;
};

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
Image decode_jpeg(const EncodedImage& file) {
  JpegDecompressor decompressor(file.bytes);
  const bool opened = decompressor.attempt([&](jpeg_decompress_struct& info) {
    jpeg_create_decompress(&info);
    info.src = decompressor.source();
    jpeg_read_header(&info, TRUE);
    info.out_color_space = info.num_components == 4 ? JCS_CMYK : JCS_RGB;
  });
  if (!opened) throw_failure(file, decompressor);
  if (file.accept_truncated) decompressor.mend_end();

  Image image = make_image(file, decompressor.info().image_width, decompressor.info().image_height);
  const bool is_cmyk = decompressor.info().num_components == 4;
  std::vector<std::uint8_t> cmyk(is_cmyk ? static_cast<std::size_t>(image.width) * 4 : 0);
  const bool decoded = decompressor.attempt([&](jpeg_decompress_struct& info) {
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      std::uint8_t* rgb = image.rgb.data() + static_cast<std::size_t>(info.output_scanline) * image.width * 3;
      JSAMPROW row = is_cmyk ? cmyk.data() : rgb;
      jpeg_read_scanlines(&info, &row, 1);
      if (is_cmyk) convert_inverted_cmyk_row(cmyk.data(), rgb, image.width);
    }
  });
  if (!decoded && !(file.accept_truncated && decompressor.truncated())) throw_failure(file, decompressor);
  return image;
}

}  // namespace vrwkv::data
