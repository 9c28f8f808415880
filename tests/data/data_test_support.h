// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "data/text/tokenizer.h"

namespace vrwkv::test {

inline std::filesystem::path vocabulary_file() { return VRWKV_SOURCE_DIR "/.deps/rwkv_vocab_v20230424.txt"; }
inline std::filesystem::path fixtures() { return VRWKV_TEST_FIXTURES "/data"; }

/// The full vocabulary, read once.
inline const data::Tokenizer& tokenizer() {
  static const data::Tokenizer loaded = data::Tokenizer::load(vocabulary_file());
  return loaded;
}

inline std::filesystem::path write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

/// The JSON of a sample without image, and of one whose answer is its id.
inline std::string text_sample(const std::string& id, const std::string& answer) {
  return fmt::format(R"({{"id": "{}", "conversations": [{{"from": "human", "value": "Which?"}}, )"
                     R"({{"from": "gpt", "value": "{}"}}]}})",
                     id, answer);
}
inline std::string image_sample(const std::string& id, const std::string& image) {
  return fmt::format(
      R"({{"id": "{}", "image": "{}", "conversations": [{{"from": "human", "value": "<image>\nWhich?"}}, )"
      R"({{"from": "gpt", "value": "{}"}}]}})",
      id, image, id);
}
inline std::string array_of(const std::vector<std::string>& samples) {
  return fmt::format("[{}]", fmt::join(samples, ",\n"));
}

/// What `work` threw, when it was an `Expected`.
template <class Expected, class Work>
std::string message_of(Work&& work) {
  try {
    work();
  } catch (const Expected& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace vrwkv::test
