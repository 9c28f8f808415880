// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/text/record.h"

namespace vrwkv::data {

/// How LLaVA-1.5's mixture asks for short answers: once, in the first question of a conversation.
inline constexpr std::string_view kShortAnswerSentences[] = {
    "Answer the question using a single word or phrase.",
    "Answer with the option's letter from the given choices directly.",
};

struct SplitRules {
  std::int64_t most_rounds = 5;  ///< a round is a question with its answer
  /// Those that the first question holds are for all questions: the first of each part gets them.
  std::vector<std::string> carried{std::begin(kShortAnswerSentences), std::end(kShortAnswerSentences)};
};

/// More parts, and parts with more images, are made of no sample, so that nothing malformed grows without
/// bound.
inline constexpr std::size_t kMostParts = 1024;

/// A round of a part, by its question's turn; the answer is the next turn.
struct PlannedRound {
  std::size_t question = 0;
  std::string before;  ///< to write in front of the question: marks of images that were shown earlier
  std::string behind;  ///< to write behind it: carried sentences
};

/// One sample of the output.
struct SamplePart {
  std::vector<PlannedRound> rounds;
  std::size_t images = 0;  ///< it has the first so many images of the sample
};

/// What becomes of one sample.
struct SamplePlan {
  std::string oddity;             ///< why it cannot be split; it is then to be passed on as it is
  std::vector<SamplePart> parts;  ///< empty when it is odd, or when no question has an answer
  std::int64_t dropped_rounds = 0;

  /// The sample is its own only part.
  bool is_as_it_was() const { return !oddity.empty() || (parts.size() == 1 && dropped_rounds == 0); }
};

/// Leaves out questions without answer (an answer of white space is none) and cuts the conversation into
/// parts of at most `most_rounds` rounds. A part shows what the conversation had shown by then: images of
/// earlier parts come first in its first question, its own stay where they are.
/// Odd: turns that are not human, gpt, human, gpt, ...; `<image>` in an answer; images and marks that differ
/// in number; a sample that would pass kMostParts. Without images `<image>` is text.
SamplePlan plan_sample(const Record& record, const SplitRules& rules);

}  // namespace vrwkv::data
