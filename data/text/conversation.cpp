// SPDX-License-Identifier: Apache-2.0
#include "data/text/conversation.h"

#include <algorithm>
#include <cctype>
#include <span>

#include "common/error.h"
#include "data/text/python_text.h"

namespace vrwkv::data {
namespace {

constexpr std::string_view kMark = "<image>";
constexpr std::string_view kAnswerOpening = "Assistant:";

/// A turn after cleaning: its images come first, then its text.
struct CleanTurn {
  bool is_answer = false;
  bool is_all_labels = false;
  std::int64_t images = 0;
  std::string text;
};

struct Unmarked {
  std::string text;
  std::int64_t marks = 0;
};

/// The text without its marks, in one pass: what closes up around a mark is none.
Unmarked remove_marks(std::string_view text) {
  Unmarked rest;
  for (std::size_t mark; (mark = text.find(kMark)) != std::string_view::npos; ++rest.marks) {
    rest.text += text.substr(0, mark);
    text.remove_prefix(mark + kMark.size());
  }
  rest.text += text;
  return rest;
}

std::string clean(std::string_view text) { return collapse_blank_lines(strip(text)); }

CleanTurn clean_turn(const Turn& turn, const Record& record, ConversationRules rules) {
  CleanTurn cleaned;
  cleaned.is_answer = is_speaker(turn.from, "gpt");
  if (!cleaned.is_answer && !is_speaker(turn.from, "human"))
    throw DataError("{}: unknown speaker '{}' (it is neither 'human' nor 'gpt'). Fix or drop the sample.",
                    describe(record), turn.from);
  cleaned.is_all_labels =
      rules == ConversationRules::kVisualRwkv && turn.from != (cleaned.is_answer ? "gpt" : "human");
  if (!record.has_image) {
    cleaned.text = clean(turn.value);
    return cleaned;
  }
  const Unmarked unmarked = remove_marks(turn.value);
  cleaned.images = unmarked.marks;
  cleaned.text = clean(unmarked.text);
  return cleaned;
}

std::string counted(std::int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

void check_images(const Record& record, const std::vector<CleanTurn>& turns) {
  std::int64_t marks = 0, marks_in_answers = 0;
  for (const CleanTurn& turn : turns) {
    marks += turn.images;
    if (turn.is_answer) marks_in_answers += turn.images;
  }
  const auto images = static_cast<std::int64_t>(record.images.size());
  if (marks != images)
    throw DataError("{}: {} but {} (features would be misplaced). Fix or drop the sample.", describe(record),
                    counted(images, "image file"), counted(marks, "<image> mark"));
  if (marks_in_answers != 0)
    throw DataError(
        "{}: {} in an answer (only questions hold images; features would be misplaced). Fix or drop the "
        "sample.",
        describe(record), counted(marks_in_answers, "<image> mark"));
}

/// The first label has no position before it that could predict it.
std::int64_t count_targets(std::span<const std::int64_t> labels) {
  if (labels.empty()) return 0;
  return std::count_if(labels.begin() + 1, labels.end(), [](auto label) { return label != kIgnoreIndex; });
}

/// Appends turns to an Encoded, each tokenized on its own so that a turn's tokens do not depend on its
/// neighbours.
class Encoder {
 public:
  Encoder(const Tokenizer& tokenizer, std::int64_t tokens_per_image)
      : tokenizer_(tokenizer), tokens_per_image_(tokens_per_image) {}

  void append(const CleanTurn& turn) {
    const std::size_t begin = encoded_.token_ids.size();
    if (turn.is_answer) {
      append_answer(turn.text);
    } else {
      append_question(turn);
    }
    encoded_.labels.resize(encoded_.token_ids.size(), kIgnoreIndex);
    if (turn.is_answer && turn.text.empty()) ++encoded_.empty_answers;
    if (!turn.is_answer && !turn.is_all_labels) return;
    // No token holds ": " in its middle, so the opening is the same tokens with and without an answer behind
    // it.
    const std::size_t first_label =
        begin + (turn.is_all_labels ? 0 : tokenizer_.encode(kAnswerOpening).size());
    for (std::size_t i = first_label; i < encoded_.labels.size(); ++i)
      encoded_.labels[i] = encoded_.token_ids[i];
  }

  Encoded finish() {
    encoded_.targets = count_targets(encoded_.labels);
    return std::move(encoded_);
  }

 private:
  void append_text(const std::string& text) { tokenizer_.encode(text, encoded_.token_ids); }

  void append_answer(const std::string& text) {
    append_text(text.empty() ? std::string(kAnswerOpening) : fmt::format("{} {}\n\n", kAnswerOpening, text));
  }

  void append_question(const CleanTurn& turn) {
    if (turn.images == 0) {
      append_text(turn.text.empty() ? "User:" : fmt::format("User: {}\n\n", turn.text));
      return;
    }
    for (std::int64_t image = 0; image < turn.images; ++image) {
      append_text(image == 0 ? "User: " : "\n");
      encoded_.image_starts.push_back(static_cast<std::int64_t>(encoded_.token_ids.size()));
      encoded_.token_ids.insert(encoded_.token_ids.end(), static_cast<std::size_t>(tokens_per_image_),
                                kImageToken);
    }
    append_text(turn.text.empty() ? "\n\n" : fmt::format("\n{}\n\n", turn.text));
  }

  const Tokenizer& tokenizer_;
  std::int64_t tokens_per_image_;
  Encoded encoded_;
};

}  // namespace

Encoded encode_conversation(const Record& record, const Tokenizer& tokenizer, std::int64_t tokens_per_image,
                            ConversationRules rules) {
  if (record.turns.empty())
    throw DataError(
        "{}: the conversation has no turns (there is nothing to train on). Fix or drop the sample.",
        describe(record));
  std::vector<CleanTurn> turns;
  for (const Turn& turn : record.turns) turns.push_back(clean_turn(turn, record, rules));
  check_images(record, turns);
  Encoder encoder(tokenizer, tokens_per_image);
  for (const CleanTurn& turn : turns) encoder.append(turn);
  return encoder.finish();
}

Encoded encode_prompt(const std::string& text, std::int64_t images, const Tokenizer& tokenizer,
                      std::int64_t tokens_per_image) {
  const std::string question = clean(images > 0 ? remove_marks(text).text : text);
  Encoder encoder(tokenizer, tokens_per_image);
  encoder.append({.is_answer = false, .is_all_labels = false, .images = images, .text = question});
  encoder.append({.is_answer = true, .is_all_labels = false, .images = 0, .text = ""});
  return encoder.finish();
}

Encoded expand_images(const Encoded& text, std::int64_t tokens_per_image, std::int64_t most_tokens) {
  Encoded expanded;
  expanded.targets = text.targets;
  expanded.empty_answers = text.empty_answers;
  std::int64_t text_end = 0;
  const auto append_text = [&](std::int64_t end) {
    expanded.token_ids.insert(expanded.token_ids.end(), text.token_ids.begin() + text_end,
                              text.token_ids.begin() + end);
    expanded.labels.insert(expanded.labels.end(), text.labels.begin() + text_end, text.labels.begin() + end);
    text_end = end;
  };
  for (const std::int64_t start : text.image_starts) {
    append_text(start);
    const auto tokens = static_cast<std::int64_t>(expanded.token_ids.size());
    if (tokens >= most_tokens) break;
    expanded.image_starts.push_back(tokens);
    expanded.token_ids.insert(expanded.token_ids.end(), static_cast<std::size_t>(tokens_per_image),
                              kImageToken);
    expanded.labels.resize(expanded.token_ids.size(), kIgnoreIndex);
  }
  append_text(static_cast<std::int64_t>(text.token_ids.size()));
  return expanded;
}

ConversationShape shape_of(const Encoded& encoded, std::int64_t tokens_per_image) {
  ConversationShape shape;
  shape.empty_answers = encoded.empty_answers;
  std::int64_t text_end = 0, images = 0;  // of the text before the next image, in tokens of the whole
  const auto count_text = [&](std::int64_t end) {
    const std::int64_t moved = images * tokens_per_image;
    for (std::int64_t i = text_end; i < end; ++i) {
      if (i == 0 || encoded.labels[static_cast<std::size_t>(i)] == kIgnoreIndex) continue;
      ++shape.targets;
      if (!shape.first_target) shape.first_target = i - moved;
    }
    shape.text_tokens += end - text_end;
  };
  for (const std::int64_t start : encoded.image_starts) {
    count_text(start);
    shape.text_before_image.push_back(shape.text_tokens);
    text_end = start + tokens_per_image;
    ++images;
  }
  count_text(static_cast<std::int64_t>(encoded.labels.size()));
  return shape;
}

std::string training_defect(const ConversationShape& shape, std::int64_t context_length,
                            std::int64_t tokens_per_image, ConversationRules rules) {
  const bool strict = rules == ConversationRules::kStrict;
  if (strict && shape.empty_answers > 0)
    return fmt::format("{} without text (it would teach to leave answers out). Fix or drop the sample.",
                       counted(shape.empty_answers, "answer"));
  if (strict && shape.targets == 0) return "no answer to learn from. Fix or drop the sample.";
  std::int64_t images_before_target = 0;
  for (std::size_t image = 0; image < shape.text_before_image.size(); ++image) {
    const std::int64_t start = shape.image_start(image, tokens_per_image);
    if (start < context_length && start + tokens_per_image > context_length)
      return fmt::format(
          "the image at token {} reaches beyond the context of {} tokens (the model would see a part of it). "
          "Raise [data] context_length or drop the sample.",
          start, context_length);
    if (shape.first_target && shape.text_before_image[image] <= *shape.first_target) ++images_before_target;
  }
  if (strict && *shape.first_target + images_before_target * tokens_per_image >= context_length)
    return fmt::format(
        "the context of {} tokens ends before the first answer (nothing is left to learn). "
        "Raise [data] context_length or drop the sample.",
        context_length);
  return "";
}

bool cut_to_context(Encoded& encoded, std::int64_t context_length) {
  const auto length = static_cast<std::size_t>(context_length);
  if (encoded.token_ids.size() <= length) return false;
  encoded.token_ids.resize(length);
  encoded.labels.resize(length);
  std::erase_if(encoded.image_starts, [&](auto start) { return start >= context_length; });
  encoded.targets = count_targets(encoded.labels);
  return true;
}

bool is_speaker(std::string_view from, std::string_view speaker) {
  return std::equal(from.begin(), from.end(), speaker.begin(), speaker.end(),
                    [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
}

std::string describe(const Record& record) { return fmt::format("{}: sample '{}'", record.file, record.id); }

}  // namespace vrwkv::data
