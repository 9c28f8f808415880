// SPDX-License-Identifier: Apache-2.0
// libjpeg's two handles with an owner each, over bytes in memory.
#pragma once

#include <array>
#include <csetjmp>
#include <cstdint>
#include <span>

// libjpeg's headers do not include what they need, so their order matters.
// clang-format off
#include <cstddef>
#include <cstdio>
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

namespace vrwkv::data {

/// What both handles report to. libjpeg says that it gives up through a callback that must not return; it
/// jumps back into attempt(), so what runs inside attempt() must own nothing with a destructor.
class JpegErrors {
 public:
  JpegErrors(const JpegErrors&) = delete;
  JpegErrors& operator=(const JpegErrors&) = delete;

  /// Runs `step()`; false when libjpeg gave up inside it.
  template <class Step>
  bool attempt(Step step) {
    if (setjmp(escape_) != 0) return false;
    step();
    return true;
  }
  /// Why libjpeg gave up.
  const char* message() const { return message_.data(); }

 protected:
  JpegErrors();
  ~JpegErrors() = default;
  template <class Info>
  void watch(Info& info) {
    info.err = &callbacks_;
    info.client_data = this;
  }
  /// Warnings: Pillow accepts what libjpeg can bridge.
  virtual void on_warning(j_common_ptr) {}

 private:
  static JpegErrors& self(j_common_ptr info) { return *static_cast<JpegErrors*>(info->client_data); }

  jpeg_error_mgr callbacks_{};
  std::jmp_buf escape_{};
  std::array<char, JMSG_LENGTH_MAX> message_{};
};

class JpegDecompressor final : public JpegErrors {
 public:
  explicit JpegDecompressor(std::span<const std::uint8_t> bytes);
  ~JpegDecompressor() { jpeg_destroy_decompress(&info_); }

  jpeg_decompress_struct& info() { return info_; }
  /// Reads what stands before the first scan and asks for RGB or, of four components, CMYK. False when
  /// libjpeg gave up.
  bool open();
  /// From now on the end marker that truncated bytes lack is added, once.
  void mend_end() { mends_end_ = true; }
  bool truncated() const { return truncated_; }
  /// The last row of MCUs of the newest scan that has data of its own.
  std::int64_t last_row_with_data() const;

 private:
  static JpegDecompressor& self(j_decompress_ptr info) {
    return static_cast<JpegDecompressor&>(*static_cast<JpegErrors*>(info->client_data));
  }
  static boolean on_end_of_bytes(j_decompress_ptr info);
  static void skip(j_decompress_ptr info, long bytes);
  void on_warning(j_common_ptr info) override;

  jpeg_decompress_struct info_{};
  jpeg_source_mgr source_{};
  bool truncated_ = false;
  bool mends_end_ = false;
  int starved_scan_ = 0;  ///< the newest one whose data ended too early; scans count from 1
  std::int64_t starved_row_ = 0;
};

}  // namespace vrwkv::data
