// SPDX-License-Identifier: Apache-2.0
#include "data/step_reader.h"

#include <utility>

#include "common/error.h"
#include "data/ledger_order.h"

namespace vrwkv::data {
namespace {

/// The list that the configuration names, which must be of this data.
Quarantine open_quarantine(const std::filesystem::path& list, const Mixture& mixture) {
  if (list.empty()) return {};
  Quarantine quarantine = Quarantine::read(list);
  if (!quarantine.is_of(mixture.fingerprint()))
    throw DataError(
        "{}: the list is of other data (its numbers would mean other samples). Name the list that belongs to "
        "this data, or none.",
        list.string());
  if (!quarantine.samples().empty() && quarantine.samples().rbegin()->first >= mixture.size())
    throw DataError(
        "{}: names sample {}, but the data has {}. Name the list that belongs to this data, or none.",
        list.string(), quarantine.samples().rbegin()->first, mixture.size());
  return quarantine;
}

}  // namespace

StepReader::StepReader(const DataConfig& config, StepReaderOptions options)
    : context_length_(config.context_length),
      replaces_(config.on_bad_sample == BadSamplePolicy::kReplace),
      seed_(options.seed),
      kind_of_order_(config.order),
      tokenizer_(Tokenizer::load(config.vocabulary, options.vocabulary_size)),
      mixture_(config.sources, tokenizer_,
               config.view(!options.image_sizes.empty() || options.features, options.tokens_per_image),
               options.index_folder),
      order_(mixture_, options.seed, config.order),
      substitution_(order_.pass_length()),
      reader_(tokenizer_, config.image_folders(),
              config.reader_options(std::move(options.image_sizes), options.tokens_per_image,
                                    std::move(options.features))),
      quarantine_(open_quarantine(config.quarantine, mixture_)),
      planner_([this](std::int64_t position) { return order_.at(position); },
               [this](std::int64_t record) { return outline_of(record); }, substitution_, options.step) {}

SampleOutline StepReader::outline_of(std::int64_t record) const {
  if (quarantine_.contains(record)) return {0, 0, /*is_bad=*/true};
  const SampleFacts facts = mixture_.facts(record);
  return {facts.tokens, facts.images, facts.is_bad && replaces_};
}

Sample StepReader::read(const StepPlan& step, const PlannedSample& place) const {
  Sample sample;
  std::vector<BadSample> rejected;
  const auto takes = [&](const Candidate& candidate) {
    const std::int64_t record = candidate.record;
    if (quarantine_.contains(record)) return false;
    if (outline_of(record).is_bad) {  // the plan has passed it over, too
      rejected.push_back({record, mixture_.read(record).id, mixture_.defect(record)});
      return false;
    }
    sample = reader_.read_for_training(mixture_.read(record), context_length_);
    if (sample.bad.empty() || !replaces_) return true;
    rejected.push_back({record, sample.id, std::move(sample.bad)});
    return false;
  };
  const auto record_at = [this](std::int64_t position) { return order_.at(position); };
  if (const auto found = substitution_.first(place.position, record_at, takes)) {
    const bool is_good = sample.bad.empty();
    if (found->attempt > 0 || !is_good)
      sample.replacement = {.place = place.position - step.position,
                            .record = record_at(place.position),
                            .attempts = is_good ? found->attempt : found->attempt + 1,
                            .substitute = is_good ? found->record : Replacement::kNothing};
    sample.rejected = std::move(rejected);
    return sample;
  }
  throw DataError(
      "place {} of the data order: none of the {} samples that may take it can be trained on (this is no "
      "matter of "
      "single samples). The first: {}",
      place.position, substitution_.attempts(),
      rejected.empty() ? "all are in the quarantine list" : rejected.front().reason);
}

std::int64_t StepReader::bytes(const PlannedSample& place) const {
  constexpr std::int64_t kTokenBytes = 16;  // an id and a label
  return place.outline.tokens * kTokenBytes + place.outline.images * reader_.bytes_per_image();
}

std::string StepReader::header_of_ledger() const {
  return ledger_header(order_, seed_, kind_of_order_, mixture_.fingerprint());
}

}  // namespace vrwkv::data
