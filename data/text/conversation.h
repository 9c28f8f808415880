// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/text/record.h"
#include "data/text/tokenizer.h"

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

/// Of a conversation that was encoded with 0 tokens an image: the same with so many. Images that would begin
/// at `most_tokens` or later are left out, so that memory does not grow with their number; cut_to_context()
/// then drops what follows.
Encoded expand_images(const Encoded& text, std::int64_t tokens_per_image, std::int64_t most_tokens);

/// The prompt of a question about `images` images, up to the colon of `Assistant:`. Marks in `text` are
/// removed when there are images, since the images come first in any case. No position has a label.
Encoded encode_prompt(const std::string& text, std::int64_t images, const Tokenizer& tokenizer,
                      std::int64_t tokens_per_image);

/// Of a conversation what decides how long it is and whether it can be trained on, text and images counted
/// apart, so that it holds for every number of tokens an image.
struct ConversationShape {
  std::int64_t text_tokens = 0;
  std::int64_t targets = 0;                  ///< Encoded::targets without those on images
  std::optional<std::int64_t> first_target;  ///< text tokens before the first of them
  std::int64_t empty_answers = 0;
  std::vector<std::int64_t> text_before_image;  ///< (I): text tokens before each image, ascending

  /// Where an image's first placeholder is.
  std::int64_t image_start(std::size_t image, std::int64_t tokens_per_image) const {
    return text_before_image[image] + static_cast<std::int64_t>(image) * tokens_per_image;
  }
  std::int64_t tokens(std::int64_t tokens_per_image) const {
    return text_tokens + static_cast<std::int64_t>(text_before_image.size()) * tokens_per_image;
  }
};
ConversationShape shape_of(const Encoded& encoded, std::int64_t tokens_per_image);

/// Why a sample should not be trained on when it is cut to `context_length` tokens: an empty answer (it would
/// teach to leave the answer out), an image that the cut would tear apart, or no target left. Empty when it
/// is good. kVisualRwkv: only a torn image is a defect; without a target a sample counts with loss 0.
std::string training_defect(const ConversationShape& shape, std::int64_t context_length,
                            std::int64_t tokens_per_image,
                            ConversationRules rules = ConversationRules::kStrict);

/// What is wrong with a sample that has images when the model has no vision encoder.
inline constexpr std::string_view kImageWithoutEncoder =
    "has an image, but the model has no vision encoder. Drop the sample or use another model.";

/// Drops what lies beyond `context_length`, as the original does. Returns whether anything did.
bool cut_to_context(Encoded& encoded, std::int64_t context_length);

/// Whether a turn is by `speaker`, "human" or "gpt", in any spelling.
bool is_speaker(std::string_view from, std::string_view speaker);

/// "file: sample 'id'", with which every message about a sample begins.
std::string describe(const Record& record);

}  // namespace vrwkv::data
