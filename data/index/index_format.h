// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// The bytes of an index file, in the order of the machine (the magic number tells little endian from big):
///   Header | Entry[samples] | ImageMark[marks] | end of each text: u64[images + messages] | the texts, end
///   to end
/// Texts are the distinct image paths, then the distinct defect messages.
namespace vrwkv::data::index_format {

inline constexpr std::uint64_t kMagic = 0x3158444956575256;  // "VRWVIDX1" on a little-endian machine
inline constexpr std::uint32_t kNone = 0xffffffff;

struct Header {
  std::uint64_t magic = kMagic;
  std::uint32_t checksum = 0;  ///< CRC-32C of everything behind this field
  std::uint32_t rules = 0;
  std::uint64_t source_bytes = 0;
  std::int64_t source_time_ns = 0;
  std::uint32_t source_checksum = 0;
  std::uint32_t vocabulary = 0;
  std::uint64_t samples = 0;
  std::uint64_t marks = 0;
  std::uint64_t images = 0;
  std::uint64_t messages = 0;
  std::uint64_t text_bytes = 0;
};
static_assert(sizeof(Header) == 80);
inline constexpr std::size_t kChecksumBegin = 12;

struct Entry {
  std::uint64_t begin = 0;        ///< of the sample's text in the data file
  std::uint64_t line = 0;         ///< where it begins, from 1
  std::uint64_t fingerprint = 0;  ///< of its images and turns
  std::uint32_t bytes = 0;
  std::uint32_t text_tokens = 0;
  std::uint32_t targets = 0;
  std::uint32_t first_target = kNone;
  std::uint32_t empty_answers = 0;
  std::uint32_t first_mark = 0;
  std::uint32_t marks = 0;
  std::uint32_t message = kNone;  ///< of what cannot be rendered; counts and marks are then 0
};
static_assert(sizeof(Entry) == 56);

/// One image of one sample.
struct ImageMark {
  std::uint32_t image = 0;        ///< number of its path
  std::uint32_t text_before = 0;  ///< text tokens of the sample before it
};
static_assert(sizeof(ImageMark) == 8);

}  // namespace vrwkv::data::index_format
