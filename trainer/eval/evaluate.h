// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/mpi/communicator.h"
#include "data/sample_reader.h"
#include "data/text/sample_file.h"
#include "trainer/model/visual_rwkv.h"

namespace vrwkv::eval {

struct Answer {
  std::int64_t question = 0;  ///< index in the file
  std::string id;
  std::string kind;
  std::string image;  ///< the first image's name; "" without
  std::string prompt;
  std::string text;   ///< what the model said
  std::string truth;  ///< the first gpt turn
  double chance = 0;
  bool correct = false;  ///< exactly equal
};

struct KindScore {
  std::string kind;
  std::int64_t questions = 0;
  std::int64_t correct = 0;
  double chance = 0;  ///< of a blind guess, mean over the questions
  double accuracy() const {
    return questions == 0 ? 0.0 : static_cast<double>(correct) / static_cast<double>(questions);
  }
};

struct EvaluateOptions {
  bool blank_images = false;  ///< every image becomes one grey: what is left is what text alone gives away
  std::int64_t max_new_tokens = 32;
  bool left_padding = false;           ///< see GenerateOptions
  std::int64_t context_length = 2048;  ///< with left_padding
  std::int64_t limit = 0;              ///< questions; 0: all
};

/// Collective. Asks the first question of every record; each rank answers every world_size-th one. All
/// answers in file order, on every rank. @throws DataError for a record that cannot be asked, on all ranks
/// alike.
std::vector<Answer> evaluate(const model::VisualRwkv& model, const data::SampleReader& reader,
                             const data::SampleFile& questions, const EvaluateOptions& options,
                             const mpi::Communicator& world);

/// Per kind of question, in order of first appearance.
std::vector<KindScore> score(const std::vector<Answer>& answers);

/// One JSON object, as the field's answer files have it (question_id, prompt, text, model_id, metadata).
std::string to_json(const Answer& answer, const std::string& model_id);

}  // namespace vrwkv::eval
