// SPDX-License-Identifier: Apache-2.0
#include "data/check/check_report.h"

#include <algorithm>
#include <compare>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "data/text/conversation.h"

namespace vrwkv::data {
namespace {

using Json = nlohmann::ordered_json;

/// What is wrong with the images of one source, by their numbers.
using ImageFindings = std::map<std::int64_t, Finding>;

class Assembler {
 public:
  explicit Assembler(const Mixture& mixture) : mixture_(mixture), images_(mixture.parts().size()) {
    report_.samples = mixture.size();
    report_.quarantine = Quarantine(mixture.fingerprint());
    report_.tokens.assign(kTokenClasses.size(), 0);
    report_.image_sides.assign(kSideClasses.size(), 0);
    for (const Mixture::Part& part : mixture.parts()) report_.images += part.index.distinct_images();
  }

  void add(const CheckChunk& chunk, const ChunkFindings& found) {
    for (std::size_t i = 0; i < kSideClasses.size(); ++i) report_.image_sides[i] += found.image_sides[i];
    for (const Finding& finding : found.findings) {
      count(finding);
      if (chunk.is_images) {
        images_[static_cast<std::size_t>(chunk.source)].emplace(finding.number, finding);
      } else {
        report_.sample_findings.push_back(finding);
      }
    }
  }

  CheckReport finish() {
    add_samples_with_images();
    add_duplicates();
    std::stable_sort(report_.sample_findings.begin(), report_.sample_findings.end(),
                     [](const Finding& a, const Finding& b) { return a.number < b.number; });
    for (const Finding& finding : report_.sample_findings)
      if (finding.is_bad)
        report_.quarantine.add({finding.number, mixture_.read(finding.number).id, finding.message});
    return std::move(report_);
  }

 private:
  void count(const Finding& finding) {
    CheckReport::Kind& kind = report_.kinds[finding.kind];
    kind.is_bad |= finding.is_bad;
    ++kind.count;
  }

  /// Counts tokens, and makes what is wrong with an image a finding of each sample that has it.
  void add_samples_with_images() {
    for (std::size_t source = 0; source < images_.size(); ++source) {
      const Mixture::Part& part = mixture_.parts()[source];
      for (std::int64_t sample = 0; sample < part.index.size(); ++sample) {
        const std::int64_t tokens = part.index.shape(sample).tokens(mixture_.view().tokens_per_image);
        ++report_.tokens[class_of(tokens, kTokenClasses)];
        if (images_[source].empty()) continue;
        for (const std::int64_t image : part.index.images(sample))
          if (const auto found = images_[source].find(image); found != images_[source].end())
            add_image_finding(part.first_record + sample, found->second);
      }
    }
  }

  void add_image_finding(std::int64_t record, const Finding& image) {
    report_.sample_findings.push_back(
        {record, image.kind, image.is_bad,
         fmt::format("{}: {}", describe(mixture_.read(record)), image.message)});
  }

  void add_duplicates() {
    struct Sample {
      std::uint64_t fingerprint;
      std::int64_t image_source;  // -1 without images: names say which only in the places of a source
      std::int64_t record;
      auto operator<=>(const Sample&) const = default;
    };
    std::vector<Sample> samples;
    samples.reserve(static_cast<std::size_t>(mixture_.size()));
    for (const Mixture::Part& part : mixture_.parts()) {
      const std::int64_t source = first_with_images_of(part);
      for (std::int64_t sample = 0; sample < part.index.size(); ++sample)
        samples.push_back({part.index.fingerprint(sample), part.index.images(sample).empty() ? -1 : source,
                           part.first_record + sample});
    }
    std::sort(samples.begin(), samples.end());
    std::size_t first = 0;
    for (std::size_t i = 1; i < samples.size(); ++i) {
      if (samples[i].fingerprint != samples[first].fingerprint ||
          samples[i].image_source != samples[first].image_source) {
        first = i;
        continue;
      }
      const Finding finding{samples[i].record, "duplicate", false,
                            fmt::format("{}: has the images and turns of record {}.",
                                        describe(mixture_.read(samples[i].record)), samples[first].record)};
      count(finding);
      report_.sample_findings.push_back(finding);
    }
  }

  /// The first source whose images lie in the same places.
  std::int64_t first_with_images_of(const Mixture::Part& part) const {
    const auto& parts = mixture_.parts();
    return std::ranges::find(parts, part.source.image_folder,
                             [](const Mixture::Part& other) { return other.source.image_folder; }) -
           parts.begin();
  }

  const Mixture& mixture_;
  std::vector<ImageFindings> images_;  ///< of each source
  CheckReport report_;
};

Json histogram(const std::vector<std::int64_t>& counts, const std::vector<std::int64_t>& classes) {
  Json list = Json::array();
  for (std::size_t i = 0; i < classes.size(); ++i)
    list.push_back({{"up_to", classes[i]}, {"count", counts[i]}});
  return list;
}

}  // namespace

CheckReport make_check_report(const Mixture& mixture, const std::map<std::int64_t, ChunkFindings>& done) {
  Assembler assembler(mixture);
  const std::vector<CheckChunk> chunks = check_chunks(mixture);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const auto found = done.find(static_cast<std::int64_t>(i));
    if (found == done.end())
      throw IoError(
          "check: what piece {} of {} gave is not in the journal (all ranks must share its folder).", i,
          chunks.size());
    assembler.add(chunks[i], found->second);
  }
  return assembler.finish();
}

std::string CheckReport::json(const Mixture& mixture) const {
  Json all_kinds = Json::object();
  for (const auto& [name, kind] : kinds) all_kinds[name] = {{"bad", kind.is_bad}, {"count", kind.count}};
  Json findings = Json::array();
  for (const Finding& finding : sample_findings)
    findings.push_back({{"record", finding.number},
                        {"kind", finding.kind},
                        {"bad", finding.is_bad},
                        {"message", finding.message}});
  const Json report{{"fingerprint", fmt::format("{:016x}", mixture.fingerprint())},
                    {"samples", samples},
                    {"bad_samples", quarantine.samples().size()},
                    {"images", images},
                    {"kinds", std::move(all_kinds)},
                    {"tokens", histogram(tokens, kTokenClasses)},
                    {"image_sides", histogram(image_sides, kSideClasses)},
                    {"findings", std::move(findings)}};
  return report.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace vrwkv::data
