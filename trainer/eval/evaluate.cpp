// SPDX-License-Identifier: Apache-2.0
#include "trainer/eval/evaluate.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/mpi/all_or_none.h"
#include "data/batch.h"
#include "data/text/conversation.h"
#include "trainer/eval/generate.h"

namespace vrwkv::eval {
namespace {

constexpr std::uint8_t kBlankGrey = 128;

/// The record with its first question only and the answer left open, as at inference.
data::Record as_question(const data::Record& record, std::string& truth) {
  if (record.turns.size() < 2)
    throw DataError("{}: no question with an answer (nothing to score). Give it a human and a gpt turn.",
                    data::describe(record));
  data::Record question = record;
  truth = record.turns[1].value;
  question.turns = {record.turns[0], {record.turns[1].from, ""}};
  return question;
}

Answer ask(const model::VisualRwkv& model, const data::SampleReader& reader, const data::Record& record,
           const EvaluateOptions& options) {
  Answer answer;
  answer.question = record.index;
  answer.id = record.id;
  answer.kind = record.kind.empty() ? "question" : record.kind;
  answer.chance = record.chance;
  answer.image = record.images.empty() ? "" : record.images.front();
  answer.prompt = record.turns.empty() ? "" : record.turns.front().value;
  data::Sample sample = reader.read(as_question(record, answer.truth));
  if (options.blank_images)
    for (auto& [size, images] : sample.pixels)
      for (auto& image : images) image.fill_(kBlankGrey);
  const data::MicroBatch prompt = data::pack({sample}, reader.image_sizes());
  answer.text = generate(model, reader.tokenizer(), prompt,
                         {options.max_new_tokens, options.left_padding, options.context_length, nullptr});
  answer.correct = answer.text == answer.truth;
  return answer;
}

nlohmann::json to_message(const Answer& a) {
  return {a.question, a.id, a.kind, a.image, a.prompt, a.text, a.truth, a.chance, a.correct};
}

Answer from_message(const nlohmann::json& m) {
  return {m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8]};
}

}  // namespace

std::vector<Answer> evaluate(const model::VisualRwkv& model, const data::SampleReader& reader,
                             const data::SampleFile& questions, const EvaluateOptions& options,
                             const mpi::Communicator& world) {
  const std::int64_t count = options.limit > 0 ? std::min(options.limit, questions.size()) : questions.size();
  const std::string mine = mpi::all_or_none(world, "answers", [&] {
    nlohmann::json messages = nlohmann::json::array();
    for (std::int64_t i = world.rank(); i < count; i += world.size())
      messages.push_back(to_message(ask(model, reader, questions.read(i), options)));
    return messages.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  });
  std::vector<Answer> answers;
  for (const auto& part : world.all_gather(mine, "answers"))
    for (const auto& message : nlohmann::json::parse(part)) answers.push_back(from_message(message));
  std::sort(answers.begin(), answers.end(),
            [](const Answer& a, const Answer& b) { return a.question < b.question; });
  return answers;
}

std::vector<KindScore> score(const std::vector<Answer>& answers) {
  std::vector<KindScore> scores;
  for (const auto& answer : answers) {
    auto found =
        std::find_if(scores.begin(), scores.end(), [&](const KindScore& s) { return s.kind == answer.kind; });
    if (found == scores.end()) {
      scores.push_back({answer.kind});
      found = scores.end() - 1;
    }
    // A running mean, so that kinds with several chances show their average.
    ++found->questions;
    found->chance += (answer.chance - found->chance) / static_cast<double>(found->questions);
    found->correct += answer.correct ? 1 : 0;
  }
  return scores;
}

std::string to_json(const Answer& answer, const std::string& model_id) {
  const nlohmann::ordered_json line = {{"question_id", answer.id},
                                       {"prompt", answer.prompt},
                                       {"text", answer.text},
                                       {"model_id", model_id},
                                       {"metadata",
                                        {{"image", answer.image},
                                         {"kind", answer.kind},
                                         {"answer", answer.truth},
                                         {"correct", answer.correct},
                                         {"chance", answer.chance}}}};
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace vrwkv::eval
