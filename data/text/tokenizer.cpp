// SPDX-License-Identifier: Apache-2.0
#include "data/text/tokenizer.h"

#include <simdjson.h>

#include "common/crc32c.h"
#include "common/error.h"
#include "data/text/vocabulary.h"

namespace vrwkv::data {

Tokenizer Tokenizer::load(const std::filesystem::path& vocabulary, std::int64_t vocabulary_size) {
  if (vocabulary_size <= kStopToken || vocabulary_size > kFullVocabularySize)
    throw ConfigError("vocabulary size {} is out of range (answers end with token {}, and ids go up to {})",
                      vocabulary_size, kStopToken, kFullVocabularySize - 1);
  Tokenizer tokenizer(read_vocabulary(vocabulary, vocabulary_size));
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    if (tokenizer.trie_.longest({&text, 1}).length == 0)
      throw DataError(
          "{}: no token for byte {} (some texts could not be encoded). Use rwkv_vocab_v20230424.txt.",
          vocabulary.string(), byte);
  }
  if (tokenizer.bytes(kStopToken) != "\n\n")
    throw DataError(
        "{}: token {} is not the blank line (answers would never end). Use rwkv_vocab_v20230424.txt.",
        vocabulary.string(), kStopToken);
  return tokenizer;
}

Tokenizer::Tokenizer(const std::vector<std::string>& tokens) : trie_(tokens) {
  starts_.reserve(tokens.size() + 1);
  for (const std::string& token : tokens) {
    starts_.push_back(static_cast<std::uint32_t>(text_.size()));
    text_ += token;
  }
  starts_.push_back(static_cast<std::uint32_t>(text_.size()));
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int64_t> token_ids;
  encode(text, token_ids);
  return token_ids;
}

void Tokenizer::encode(std::string_view text, std::vector<std::int64_t>& append_to) const {
  while (!text.empty()) {
    const ByteTrie::Match match = trie_.longest(text);
    append_to.push_back(match.value);
    text.remove_prefix(match.length);
  }
}

std::string Tokenizer::decode(std::span<const std::int64_t> token_ids) const {
  static constexpr const char* kReplacementCharacter = "\xef\xbf\xbd";
  std::string text;
  for (const std::int64_t token_id : token_ids) {
    const std::string_view token = bytes(token_id);
    if (token.empty()) return kReplacementCharacter;
    text += token;
  }
  return simdjson::validate_utf8(text) ? text : kReplacementCharacter;
}

std::string_view Tokenizer::bytes(std::int64_t token_id) const {
  if (token_id < 0 || token_id >= vocabulary_size()) return {};
  const auto index = static_cast<std::size_t>(token_id);
  return std::string_view(text_).substr(starts_[index], starts_[index + 1] - starts_[index]);
}

std::uint32_t Tokenizer::fingerprint() const {
  return crc32c(text_.data(), text_.size(), crc32c(starts_.data(), starts_.size() * sizeof(starts_.front())));
}

}  // namespace vrwkv::data
