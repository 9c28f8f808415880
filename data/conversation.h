// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/sample_file.h"
#include "data/tokenizer.h"

namespace vrwkv::data {

/// One conversation as the model sees it.
struct Encoded {
  std::vector<std::int64_t> token_ids;  ///< (T); each image is `tokens_per_image` times kImageToken
  std::vector<std::int64_t> labels;     ///< (T), aligned with token_ids; kIgnoreIndex where there is no loss
  std::vector<std::int64_t> image_starts;  ///< (I): where each image's first placeholder is, ascending
  std::int64_t targets = 0;        ///< labels that count once they are shifted by one: all but the first
  std::int64_t empty_answers = 0;  ///< gpt turns without text; rendered as an opened answer ("Assistant:")
};

/// Which samples are taken as they are, and what they teach.
enum class ConversationRules {
  kStrict,      ///< what would teach nonsense is a defect; any spelling of a speaker counts
  kVisualRwkv,  ///< as the original: see docs/compatibility.md
};

/// Renders and tokenizes a conversation as the original's dataset.py does, without cutting it:
/// turns are cleaned, rendered `User: text\n\n` or `Assistant: text\n\n` and tokenized each on its own; in a
/// sample with images each `<image>` mark moves to the front of its turn and becomes `tokens_per_image`
/// placeholders. Labels leave out human turns and each `Assistant:`. kStrict: any spelling of "human" and
/// "gpt"; kVisualRwkv: only these, so that all of a turn by "Human" or "GPT" is a label.
/// @throws DataError "file: sample 'id': ..." when there is no turn, a speaker is neither human nor gpt, or
/// the numbers
///         of image files and `<image>` marks differ.
Encoded encode_conversation(const Record& record, const Tokenizer& tokenizer, std::int64_t tokens_per_image,
                            ConversationRules rules = ConversationRules::kStrict);

/// The prompt of a question about `images` images, up to the colon of `Assistant:`. Marks in `text` are
/// removed when there are images, since the images come first in any case. No position has a label.
Encoded encode_prompt(const std::string& text, std::int64_t images, const Tokenizer& tokenizer,
                      std::int64_t tokens_per_image);

/// Why a sample should not be trained on when it is cut to `context_length` tokens: an empty answer (it would
/// teach to leave the answer out), an image that the cut would tear apart, or no target left. Empty when it
/// is good. kVisualRwkv: only a torn image is a defect; without a target a sample counts with loss 0.
std::string training_defect(const Encoded& encoded, std::int64_t context_length,
                            std::int64_t tokens_per_image,
                            ConversationRules rules = ConversationRules::kStrict);

/// Drops what lies beyond `context_length`, as the original does. Returns whether anything did.
bool cut_to_context(Encoded& encoded, std::int64_t context_length);

/// "file: sample 'id'", with which every message about a sample begins.
std::string describe(const Record& record);

}  // namespace vrwkv::data
