// SPDX-License-Identifier: Apache-2.0
#include "data/plan/step_plan.h"

#include <utility>

#include "common/error.h"
#include "data/plan/deal.h"

namespace vrwkv::data {

StepPlanner::StepPlanner(std::function<std::int64_t(std::int64_t)> record_at,
                         std::function<SampleOutline(std::int64_t)> outline_of, Substitution substitution,
                         Options options)
    : record_at_(std::move(record_at)),
      outline_of_(std::move(outline_of)),
      substitution_(substitution),
      options_(options) {
  if (options_.micro_batches < 1 || (options_.samples < 1 && options_.tokens < 1))
    throw ConfigError("step plan: {} micro-batches of {} samples or {} tokens (a step would hold nothing)",
                      options_.micro_batches, options_.samples, options_.tokens);
}

StepPlan StepPlanner::plan(std::int64_t position) const {
  StepPlan plan;
  plan.position = position;
  std::vector<PlannedSample> places;
  std::vector<std::int64_t> costs;
  std::int64_t tokens = 0;
  const auto is_full = [&] {
    return options_.samples > 0 ? plan.samples == options_.samples : tokens >= options_.tokens;
  };
  for (; !is_full(); ++plan.samples) {
    if (options_.samples == 0 && plan.samples == substitution_.epoch_length())
      throw DataError(
          "position {} of the data order: a whole pass of {} samples holds {} tokens, but a step takes {} "
          "(it "
          "might never end). Lower [train] global_batch_tokens, or look at what `data check` says of the "
          "data.",
          position, plan.samples, tokens, options_.tokens);
    places.push_back(planned(position + plan.samples));
    const SampleOutline& outline = places.back().outline;
    costs.push_back(outline.tokens + outline.images * options_.image_cost);
    tokens += outline.tokens;
  }
  for (const auto& samples : deal(costs, options_.micro_batches)) {
    auto& micro_batch = plan.micro_batches.emplace_back();
    for (const std::int64_t sample : samples) micro_batch.push_back(places[static_cast<std::size_t>(sample)]);
  }
  return plan;
}

PlannedSample StepPlanner::planned(std::int64_t position) const {
  SampleOutline outline;
  const auto found = substitution_.first(position, record_at_, [&](const Candidate& candidate) {
    outline = outline_of_(candidate.record);
    return !outline.is_bad;
  });
  if (found) return {position, found->attempt, found->record, outline};
  throw DataError(
      "position {} of the data order: its sample and all {} that would take its place are known to be bad "
      "(this is no matter of single samples). Look at what `data check` says of the data.",
      position, substitution_.attempts() - 1);
}

}  // namespace vrwkv::data
