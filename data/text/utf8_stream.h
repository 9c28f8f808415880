// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace vrwkv::data {

/// Makes UTF-8 of bytes that come in pieces, such as the tokens of an answer: characters that are cut between
/// pieces wait for their rest, and each ill-formed part becomes one U+FFFD, parts as Python's
/// errors="replace" takes them (Unicode 15, table 3-7 and section 3.9, "maximal subparts").
class Utf8Stream {
 public:
  /// What is known after these bytes.
  std::string add(std::string_view bytes);
  /// U+FFFD if a character was begun and not ended, else nothing.
  std::string finish();

 private:
  void begin(unsigned char byte, std::string& text);

  std::string pending_;      ///< the beginning of a character
  int missing_ = 0;          ///< bytes that it still lacks
  unsigned char least_ = 0;  ///< range of the next one
  unsigned char most_ = 0;
};

}  // namespace vrwkv::data
