// SPDX-License-Identifier: Apache-2.0
#include "trainer/sample_accounts.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "common/log.h"

namespace vrwkv::trainer {
namespace {

using Json = nlohmann::json;

/// What one rank has to tell of its micro-batches; "" for nothing.
std::string report_of(const std::vector<data::MicroBatch>& batches) {
  Json bad = Json::array(), replacements = Json::array();
  for (const auto& batch : batches) {
    for (const auto& sample : batch.bad) bad.push_back({sample.record, sample.id, sample.reason});
    for (const auto& one : batch.replacements)
      replacements.push_back({one.place, one.record, one.attempts, one.substitute});
  }
  if (bad.empty() && replacements.empty()) return "";
  return Json{{"bad", bad}, {"replacements", replacements}}.dump(-1, ' ', false,
                                                                 Json::error_handler_t::replace);
}

/// What the run wrote before. One that was damaged is kept aside, and a new one begun.
data::Quarantine list_that_goes_on(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return {};
  try {
    return data::Quarantine::read(file);
  } catch (const DataError& error) {
    const std::filesystem::path aside = file.string() + ".damaged";
    std::error_code failure;
    std::filesystem::rename(file, aside, failure);
    if (failure)
      throw IoError("{}: is damaged, and cannot be set aside ({})", file.string(), failure.message());
    log::warning("{} It is {} now; a new list begins.", error.what(), aside.filename().string());
    return {};
  }
}

}  // namespace

SampleAccounts::SampleAccounts(const RunDirectory& directory, const data::Loader& loader,
                               std::int64_t completed_steps, const mpi::Communicator& world)
    : world_(world), quarantine_file_(directory.quarantine()) {
  if (world.rank() != 0) return;
  quarantine_ = list_that_goes_on(quarantine_file_);
  if (!quarantine_.is_of(loader.mixture().fingerprint()))
    quarantine_ = data::Quarantine(loader.mixture().fingerprint());
  ledger_.emplace(directory.ledger(), loader.header_of_ledger(), completed_steps);
}

void SampleAccounts::collect(const std::vector<data::MicroBatch>& batches) {
  const std::vector<std::string> reports = world_.all_gather(report_of(batches), "bad samples");
  if (world_.rank() != 0) return;
  bool is_new = false;
  replacements_.clear();
  for (const std::string& text : reports) {
    if (text.empty()) continue;
    const Json report = Json::parse(text);
    for (const Json& sample : report.at("bad"))
      is_new = quarantine_.add({sample.at(0), sample.at(1), sample.at(2)}) || is_new;
    for (const Json& one : report.at("replacements"))
      replacements_.push_back({one.at(0), one.at(1), one.at(2), one.at(3)});
  }
  std::sort(replacements_.begin(), replacements_.end(),
            [](const data::Replacement& a, const data::Replacement& b) { return a.place < b.place; });
  if (is_new) quarantine_.write(quarantine_file_);
}

void SampleAccounts::enter(std::int64_t step, const data::StepPlan& plan) {
  if (ledger_) ledger_->append(ledger_entry(step, plan, std::exchange(replacements_, {})));
}

data::LedgerEntry ledger_entry(std::int64_t step, const data::StepPlan& plan,
                               std::vector<data::Replacement> replacements) {
  data::LedgerEntry entry;
  entry.step = step;
  entry.position = plan.position;
  entry.places = plan.samples;
  std::map<std::int64_t, std::int64_t> substitutes;
  for (const auto& one : replacements) substitutes[one.place] = one.substitute;
  for (const auto& samples : plan.micro_batches) {
    auto& records = entry.micro_batches.emplace_back();
    for (const auto& sample : samples) {
      const auto found = substitutes.find(sample.position - plan.position);
      const std::int64_t record = found == substitutes.end() ? sample.record : found->second;
      if (record != data::Replacement::kNothing) records.push_back(record);
    }
  }
  entry.replacements = std::move(replacements);
  return entry;
}

}  // namespace vrwkv::trainer
