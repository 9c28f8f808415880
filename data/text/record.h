// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vrwkv::data {

struct Turn {
  std::string from;  ///< "human" or "gpt" in any case; judged when the conversation is encoded
  std::string value;
};

/// One element of a data file, as it was written.
struct Record {
  std::int64_t index = 0;   ///< position in the file, from 0; in a mixture, the record number
  std::int64_t source = 0;  ///< which of a mixture's sources it is from
  std::int64_t line = 0;    ///< where it begins, from 1
  std::string file;         ///< for messages
  std::string id;           ///< `sample_id` or `id`; repeats in real data, so it names but does not identify
  std::vector<std::string> images;  ///< relative to the image folder
  bool has_image = false;           ///< the key is there: then `<image>` is a mark, else text
  std::vector<Turn> turns;
  std::string kind;   ///< optional, for evaluation: what the question is about
  double chance = 0;  ///< optional, for evaluation: how often a blind guess is right
};

/// Reads one element of a data file: an object {id or sample_id, image?, conversations: [{from, value}],
/// kind?, chance?}; other keys are ignored, and of a repeated one the last counts.
/// @param line   where it begins in `file`.   @param index  what becomes Record::index.
/// @throws DataError "file:line: ..." when it is not valid JSON, a key is missing or of a wrong type.
Record parse_record(std::string_view text, const std::string& file, std::int64_t line, std::int64_t index);

}  // namespace vrwkv::data
