// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

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
