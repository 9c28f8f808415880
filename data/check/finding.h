// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vrwkv::data {

/// Something to know about one sample, or about one distinct image of a source.
struct Finding {
  std::int64_t number = 0;  ///< the record number of a sample, or the image's number in its source's index
  std::string kind;         ///< one word for what it is, as in the report
  bool is_bad = false;      ///< training cannot use it; else it is only worth a look
  std::string message;      ///< whole: "file: sample 'id': ..." or "image file: ..."
  bool operator==(const Finding&) const = default;
};

/// Upper bounds of the classes in which the report counts tokens of samples and longer sides of images.
inline const std::vector<std::int64_t> kTokenClasses = {64,   128,  256,  512,  1024,  1536,
                                                        2048, 3072, 4096, 8192, 16384, 1 << 24};
inline const std::vector<std::int64_t> kSideClasses = {9,   64,   128,  256,  384,    512,
                                                       640, 1024, 2048, 4096, 1 << 20};

/// The class of a value: the first whose bound is not below it, or the last.
inline std::size_t class_of(std::int64_t value, const std::vector<std::int64_t>& classes) {
  std::size_t found = 0;
  while (found + 1 < classes.size() && value > classes[found]) ++found;
  return found;
}

}  // namespace vrwkv::data
