// SPDX-License-Identifier: Apache-2.0
#include "data/check/check_chunk.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "common/error.h"
#include "data/check/check_image.h"
#include "data/text/conversation.h"

namespace vrwkv::data {
namespace {

constexpr std::int64_t kSamplesAtOnce = 8192;
constexpr std::int64_t kImagesAtOnce = 256;

void for_each(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work) {
  std::atomic<std::int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    try {
      for (std::int64_t i; (i = next++) < count;) work(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

/// Why a sample cannot be rendered: encode_conversation() looks for these in this order.
std::string render_kind(const Record& record) {
  if (record.turns.empty()) return "no_turns";
  const bool all_known = std::all_of(record.turns.begin(), record.turns.end(), [](const Turn& turn) {
    return is_speaker(turn.from, "human") || is_speaker(turn.from, "gpt");
  });
  return all_known ? "image_marks" : "odd_roles";
}

/// Why a sample that can be rendered cannot be trained on, in the order of training_defect().
std::string training_kind(const ConversationShape& shape, const MixtureView& view) {
  if (!view.takes_images && !shape.text_before_image.empty()) return "image_without_encoder";
  const bool strict = view.conversation == ConversationRules::kStrict;
  if (strict && shape.empty_answers > 0) return "empty_answer";
  return strict && shape.targets == 0 ? "no_target" : "context_too_short";
}

std::vector<std::pair<std::string, std::string>> remarks(const Record& record, const ConversationShape& shape,
                                                         const MixtureView& view) {
  std::vector<std::pair<std::string, std::string>> found;
  const std::int64_t tokens = shape.tokens(view.tokens_per_image);
  if (tokens > view.context_length)
    found.emplace_back("over_long",
                       fmt::format("{} tokens, of which the context takes {}.", tokens, view.context_length));
  for (std::size_t i = 0; i < record.turns.size(); ++i)
    if (!is_speaker(record.turns[i].from, i % 2 == 0 ? "human" : "gpt")) {
      found.emplace_back("roles_out_of_turn",
                         fmt::format("turn {} is by '{}'.", i + 1, record.turns[i].from));
      break;
    }
  const bool has_mark = std::any_of(record.turns.begin(), record.turns.end(), [](const Turn& turn) {
    return turn.value.find("<image>") != std::string::npos;
  });
  if (!record.has_image && has_mark)
    found.emplace_back("mark_as_text", "holds <image>, but has no image: it is learned as text.");
  return found;
}

std::vector<Finding> check_sample(const Mixture& mixture, std::int64_t number) {
  const Mixture::Part& part = mixture.part_of(number);
  const std::int64_t sample = number - part.first_record;
  const Record record = mixture.read(number);
  if (!part.index.render_defect(sample).empty())
    return {{number, render_kind(record), true, mixture.defect(number)}};
  const ConversationShape shape = part.index.shape(sample);
  if (const std::string defect = mixture.defect(number); !defect.empty())
    return {{number, training_kind(shape, mixture.view()), true, defect}};
  std::vector<Finding> findings;
  for (auto& [kind, message] : remarks(record, shape, mixture.view()))
    findings.push_back({number, kind, false, fmt::format("{}: {}", describe(record), message)});
  return findings;
}

}  // namespace

std::vector<CheckChunk> check_chunks(const Mixture& mixture) {
  std::vector<CheckChunk> chunks;
  for (std::int64_t first = 0; first < mixture.size(); first += kSamplesAtOnce)
    chunks.push_back({false, 0, first, std::min(kSamplesAtOnce, mixture.size() - first)});
  for (std::size_t source = 0; source < mixture.parts().size(); ++source) {
    const std::int64_t images = mixture.parts()[source].index.distinct_images();
    for (std::int64_t first = 0; first < images; first += kImagesAtOnce)
      chunks.push_back(
          {true, static_cast<std::int64_t>(source), first, std::min(kImagesAtOnce, images - first)});
  }
  return chunks;
}

ChunkFindings check_chunk(const Mixture& mixture, const ImageStores& stores, const CheckChunk& chunk,
                          const ImageOptions& options, int threads) {
  std::vector<std::vector<Finding>> found(static_cast<std::size_t>(chunk.count));
  std::vector<std::int64_t> sides(static_cast<std::size_t>(chunk.count));
  const auto source = static_cast<std::size_t>(chunk.source);
  const SampleIndex& index = mixture.parts()[source].index;
  for_each(chunk.count, threads, [&](std::int64_t i) {
    const std::int64_t number = chunk.first + i;
    const auto place = static_cast<std::size_t>(i);
    if (!chunk.is_images) {
      found[place] = check_sample(mixture, number);
      return;
    }
    ImageCheck check = check_image(*stores[source], std::string(index.image_path(number)), options);
    sides[place] = check.longer_side;
    if (!check.finding) return;
    check.finding->number = number;
    found[place].push_back(std::move(*check.finding));
  });
  ChunkFindings result;
  result.image_sides.assign(kSideClasses.size(), 0);
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (sides[i] > 0) ++result.image_sides[class_of(sides[i], kSideClasses)];
    for (Finding& finding : found[i]) result.findings.push_back(std::move(finding));
  }
  return result;
}

}  // namespace vrwkv::data
