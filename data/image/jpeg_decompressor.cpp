// SPDX-License-Identifier: Apache-2.0
#include "data/image/jpeg_decompressor.h"

namespace vrwkv::data {

JpegErrors::JpegErrors() {
  jpeg_std_error(&callbacks_);
  callbacks_.error_exit = [](j_common_ptr info) {
    info->err->format_message(info, self(info).message_.data());
    std::longjmp(self(info).escape_, 1);
  };
  callbacks_.emit_message = [](j_common_ptr info, int level) {
    if (level < 0) self(info).on_warning(info);
  };
}

JpegDecompressor::JpegDecompressor(std::span<const std::uint8_t> bytes) {
  watch(info_);
  source_.next_input_byte = bytes.data();
  source_.bytes_in_buffer = bytes.size();
  source_.init_source = [](j_decompress_ptr) {};
  source_.fill_input_buffer = &JpegDecompressor::on_end_of_bytes;
  source_.skip_input_data = &JpegDecompressor::skip;
  source_.resync_to_restart = jpeg_resync_to_restart;
  source_.term_source = [](j_decompress_ptr) {};
}

bool JpegDecompressor::open() {
  return attempt([this] {
    jpeg_create_decompress(&info_);
    info_.src = &source_;
    jpeg_read_header(&info_, TRUE);
    info_.out_color_space = info_.num_components == 4 ? JCS_CMYK : JCS_RGB;
  });
}

std::int64_t JpegDecompressor::last_row_with_data() const {
  if (starved_scan_ == info_.input_scan_number) return starved_row_;
  return static_cast<std::int64_t>(info_.total_iMCU_rows) - 1;
}

boolean JpegDecompressor::on_end_of_bytes(j_decompress_ptr info) {
  static constexpr std::array<JOCTET, 2> kEndOfImage = {0xff, JPEG_EOI};
  JpegDecompressor& decompressor = self(info);
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

void JpegDecompressor::skip(j_decompress_ptr info, long bytes) {
  if (bytes <= 0) return;
  // What is to be skipped beyond the end is no reason to invent an end.
  if (static_cast<std::size_t>(bytes) > info->src->bytes_in_buffer) {
    self(info).mends_end_ = false;
    on_end_of_bytes(info);
  }
  info->src->next_input_byte += bytes;
  info->src->bytes_in_buffer -= static_cast<std::size_t>(bytes);
}

void JpegDecompressor::on_warning(j_common_ptr info) {
  if (info->err->msg_code != JWRN_HIT_MARKER) return;
  starved_scan_ = info_.input_scan_number;
  starved_row_ = info_.input_iMCU_row;
}

}  // namespace vrwkv::data
