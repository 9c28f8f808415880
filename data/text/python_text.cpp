// SPDX-License-Identifier: Apache-2.0
#include "data/text/python_text.h"

#include <algorithm>
#include <cstdint>

namespace vrwkv::data {
namespace {

/// Bytes of the white space character that `text` starts with, 0 when it starts with another. Python's set,
/// the same for `str.isspace` and `\s`: U+0009-000D, 001C-0020, 0085, 00A0, 1680, 2000-200A, 2028, 2029,
/// 202F, 205F, 3000.
std::size_t leading_space(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<std::uint8_t>(text[i]) : 0; };
  const int first = byte(0), second = byte(1), third = byte(2);
  if (first < 0x80) return (first >= 0x09 && first <= 0x0d) || (first >= 0x1c && first <= 0x20) ? 1 : 0;
  if (first == 0xc2) return second == 0x85 || second == 0xa0 ? 2 : 0;
  if (first == 0xe1) return second == 0x9a && third == 0x80 ? 3 : 0;
  if (first == 0xe2 && second == 0x80)
    return (third >= 0x80 && third <= 0x8a) || third == 0xa8 || third == 0xa9 || third == 0xaf ? 3 : 0;
  if (first == 0xe2) return second == 0x81 && third == 0x9f ? 3 : 0;
  if (first == 0xe3) return second == 0x80 && third == 0x80 ? 3 : 0;
  return 0;
}

std::size_t trailing_space(std::string_view text) {
  for (std::size_t bytes = 1; bytes <= std::min<std::size_t>(3, text.size()); ++bytes)
    if (leading_space(text.substr(text.size() - bytes)) == bytes) return bytes;
  return 0;
}

}  // namespace

std::string_view strip(std::string_view text) {
  while (const std::size_t bytes = leading_space(text)) text.remove_prefix(bytes);
  while (const std::size_t bytes = trailing_space(text)) text.remove_suffix(bytes);
  return text;
}

std::string collapse_blank_lines(std::string_view text) {
  std::string collapsed;
  for (std::size_t newline; (newline = text.find('\n')) != std::string_view::npos;) {
    collapsed += text.substr(0, newline + 1);
    text.remove_prefix(newline + 1);
    std::size_t blank_lines = 0;
    for (std::size_t position = 0; const std::size_t bytes = leading_space(text.substr(position));) {
      position += bytes;
      if (text[position - 1] == '\n') blank_lines = position;
    }
    text.remove_prefix(blank_lines);
  }
  return collapsed += text;
}

}  // namespace vrwkv::data
