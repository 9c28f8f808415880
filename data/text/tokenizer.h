// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/text/byte_trie.h"

namespace vrwkv::data {

/// The id that holds the place of image features, with truncated vocabularies too. It has no text and is
/// never looked up in the embedding.
inline constexpr std::int64_t kImageToken = 65535;
/// "\n\n", which ends every turn, but not one that ends in "。", "，" or "…": with the first "\n" they are
/// one token, the longest match, and a lone "\n" is left.
inline constexpr std::int64_t kStopToken = 261;
/// The label of a position without loss.
inline constexpr std::int64_t kIgnoreIndex = -100;
/// Ids of the full World vocabulary, those without text (0 and 65530 to 65535) included.
inline constexpr std::int64_t kFullVocabularySize = 65536;

/// The RWKV World tokenizer: greedy longest match over bytes. Immutable once loaded, so threads may share it.
class Tokenizer {
 public:
  /// Reads `rwkv_vocab_v20230424.txt` (lines "id literal length", LF or CRLF) and keeps the ids below
  /// `vocabulary_size`. Ids are sorted by length, so what is left still encodes every text, in more tokens.
  /// @throws DataError   when the file cannot be read ("file: ...") or a line is malformed ("file:line:
  /// ...").
  /// @throws ConfigError when `vocabulary_size` is above 65,536 or leaves out the stop token.
  static Tokenizer load(const std::filesystem::path& vocabulary,
                        std::int64_t vocabulary_size = kFullVocabularySize);

  /// Any bytes are accepted; what is not UTF-8 is encoded byte by byte. `<image>` has no meaning here.
  std::vector<std::int64_t> encode(std::string_view text) const;
  /// The same, appended.
  void encode(std::string_view text, std::vector<std::int64_t>& append_to) const;

  /// The text of all tokens together, or, as the reference does, U+FFFD alone when the whole is not UTF-8 or
  /// any id has no text.
  std::string decode(std::span<const std::int64_t> token_ids) const;
  /// The bytes of one token, possibly a part of a character; empty when the id has no text. Valid as long as
  /// the tokenizer.
  std::string_view bytes(std::int64_t token_id) const;

  /// A checksum of all tokens: equal for vocabularies that encode every text alike.
  std::uint32_t fingerprint() const;
  std::int64_t vocabulary_size() const { return static_cast<std::int64_t>(starts_.size()) - 1; }

 private:
  explicit Tokenizer(const std::vector<std::string>& tokens);

  ByteTrie trie_;
  std::string text_;                   ///< all tokens' bytes, in the order of ids
  std::vector<std::uint32_t> starts_;  ///< token i is text_[starts_[i], starts_[i + 1])
};

}  // namespace vrwkv::data
