// SPDX-License-Identifier: Apache-2.0
#include "data/prepare/sample_plan.h"

#include <fmt/core.h>

#include "data/text/conversation.h"
#include "data/text/python_text.h"

namespace vrwkv::data {
namespace {

constexpr std::string_view kMark = "<image>";

std::size_t count_marks(const std::string& text) {
  std::size_t marks = 0;
  for (auto at = text.find(kMark); at != std::string::npos; at = text.find(kMark, at + kMark.size())) ++marks;
  return marks;
}

/// Why a sample cannot be split; "" when it can.
std::string oddity_of(const Record& record, const SplitRules& rules) {
  std::size_t marks = 0;
  for (std::size_t i = 0; i < record.turns.size(); ++i) {
    const bool is_answer = i % 2 == 1;
    if (!is_speaker(record.turns[i].from, is_answer ? "gpt" : "human"))
      return fmt::format("turn {} is by '{}' (human and gpt should alternate)", i + 1, record.turns[i].from);
    const std::size_t found = record.has_image ? count_marks(record.turns[i].value) : 0;
    if (is_answer && found > 0) return fmt::format("turn {} is an answer with an <image> mark", i + 1);
    marks += found;
  }
  if (marks != record.images.size())
    return fmt::format("it has {} image files and {} <image> marks", record.images.size(), marks);
  const auto most_rounds = static_cast<std::size_t>(rules.most_rounds);
  const std::size_t parts = (record.turns.size() / 2 + most_rounds - 1) / most_rounds;
  if (parts > kMostParts || (parts > 1 && record.images.size() > kMostParts))
    return fmt::format("it would become {} samples with up to {} images (at most {} of either are made)",
                       parts, record.images.size(), kMostParts);
  return "";
}

/// Deals the rounds of one conversation out to parts, from the first to the last.
class Planner {
 public:
  Planner(const Record& record, const SplitRules& rules) : record_(record), rules_(rules) {
    for (const std::string& sentence : rules.carried)
      if (!record.turns.empty() && record.turns[0].value.find(sentence) != std::string::npos)
        carried_.push_back(&sentence);
  }

  void take(std::size_t question) {
    const std::string& text = record_.turns[question].value;
    const std::size_t own_marks = record_.has_image ? count_marks(text) : 0;
    if (!is_answered(question)) {
      waiting_marks_ += own_marks;
      ++plan_.dropped_rounds;
      return;
    }
    PlannedRound round;
    round.question = question;
    std::size_t marks_before = waiting_marks_;
    if (begins_part()) {
      marks_before += shown_;
      plan_.parts.emplace_back();
      for (const std::string* sentence : carried_)
        if (text.find(*sentence) == std::string::npos) round.behind += "\n" + *sentence;
    }
    for (std::size_t mark = 0; mark < marks_before; ++mark) round.before.append(kMark).append("\n");
    shown_ += waiting_marks_ + own_marks;
    waiting_marks_ = 0;
    plan_.parts.back().rounds.push_back(std::move(round));
    plan_.parts.back().images = shown_;
  }

  SamplePlan finish() { return std::move(plan_); }

 private:
  bool is_answered(std::size_t question) const {
    return question + 1 < record_.turns.size() && !strip(record_.turns[question + 1].value).empty();
  }
  bool begins_part() const {
    return plan_.parts.empty() ||
           static_cast<std::int64_t>(plan_.parts.back().rounds.size()) == rules_.most_rounds;
  }

  const Record& record_;
  const SplitRules& rules_;
  std::vector<const std::string*> carried_;
  std::size_t shown_ = 0;          ///< images in the parts so far
  std::size_t waiting_marks_ = 0;  ///< of questions that were dropped: the next one shows them
  SamplePlan plan_;
};

}  // namespace

SamplePlan plan_sample(const Record& record, const SplitRules& rules) {
  SamplePlan odd;
  odd.oddity = oddity_of(record, rules);
  if (!odd.oddity.empty()) return odd;
  Planner planner(record, rules);
  for (std::size_t question = 0; question < record.turns.size(); question += 2) planner.take(question);
  return planner.finish();
}

}  // namespace vrwkv::data
