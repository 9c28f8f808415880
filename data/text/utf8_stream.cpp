// SPDX-License-Identifier: Apache-2.0
#include "data/text/utf8_stream.h"

namespace vrwkv::data {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";
constexpr unsigned char kLeast = 0x80, kMost = 0xbf;  ///< of a byte that goes on, mostly

}  // namespace

std::string Utf8Stream::add(std::string_view bytes) {
  std::string text;
  for (const char character : bytes) {
    const auto byte = static_cast<unsigned char>(character);
    if (missing_ == 0) {
      begin(byte, text);
    } else if (byte >= least_ && byte <= most_) {
      pending_ += character;
      least_ = kLeast;
      most_ = kMost;
      if (--missing_ == 0) text += pending_;
    } else {
      missing_ = 0;
      text += kReplacement;
      begin(byte, text);
    }
  }
  return text;
}

void Utf8Stream::begin(unsigned char byte, std::string& text) {
  if (byte < 0x80) {
    text += static_cast<char>(byte);
  } else if (byte < 0xc2 || byte > 0xf4) {
    text += kReplacement;
  } else {
    pending_ = static_cast<char>(byte);
    missing_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    least_ = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : kLeast;  // no longer forms than needed
    most_ = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : kMost;    // no surrogates, nothing beyond U+10FFFF
  }
}

std::string Utf8Stream::finish() {
  const bool cut = missing_ > 0;
  missing_ = 0;
  return cut ? std::string(kReplacement) : std::string();
}

}  // namespace vrwkv::data
