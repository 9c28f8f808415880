// SPDX-License-Identifier: Apache-2.0
#include "data/ledger/quarantine.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "common/crc32c.h"
#include "common/error.h"
#include "common/file_system.h"

namespace vrwkv::data {

using Json = nlohmann::ordered_json;

namespace {

std::string text_of(std::uint64_t fingerprint) { return fmt::format("{:016x}", fingerprint); }

std::int64_t record_in(const Json& sample, const std::filesystem::path& file) {
  const Json& record = sample.at("record");
  if (!record.is_number_unsigned() || record.get<std::uint64_t>() > (std::uint64_t{1} << 48))
    throw DataError(
        "{}: is no list of quarantined samples (a record is {}). Name the quarantine.json of a run, or "
        "none.",
        file.string(), record.dump());
  return record;
}

}  // namespace

Quarantine::Quarantine(std::uint64_t mixture) : fingerprint_(text_of(mixture)) {}

bool Quarantine::is_of(std::uint64_t mixture) const { return fingerprint_ == text_of(mixture); }

std::uint32_t Quarantine::checksum() const {
  std::uint32_t checksum = 0;
  for (const auto& [record, sample] : samples_) checksum = crc32c(&record, sizeof record, checksum);
  return checksum;
}

Quarantine Quarantine::read(const std::filesystem::path& file) {
  std::string text;
  try {
    text = read_file(file);
  } catch (const IoError& error) {
    throw DataError("{} (the list of quarantined samples). Check [data] quarantine.", error.what());
  }
  Quarantine quarantine;
  try {
    const Json list = Json::parse(text);
    quarantine.fingerprint_ = list.at("fingerprint").get<std::string>();
    for (const Json& sample : list.at("samples"))
      quarantine.add({record_in(sample, file), sample.at("id"), sample.at("reason")});
  } catch (const Json::exception& error) {
    throw DataError("{}: is no list of quarantined samples ({}). Name the quarantine.json of a run, or none.",
                    file.string(), error.what());
  }
  return quarantine;
}

bool Quarantine::add(BadSample sample) {
  const std::int64_t record = sample.record;
  return samples_.try_emplace(record, std::move(sample)).second;
}

void Quarantine::write(const std::filesystem::path& file) const {
  Json samples = Json::array();
  for (const auto& [record, sample] : samples_)
    samples.push_back({{"record", record}, {"id", sample.id}, {"reason", sample.reason}});
  // A name that is not UTF-8 comes from the disk; what cannot be written as it is becomes U+FFFD.
  write_file_atomically(file, Json{{"fingerprint", fingerprint_}, {"samples", samples}}.dump(
                                  1, ' ', false, Json::error_handler_t::replace) +
                                  "\n");
}

}  // namespace vrwkv::data
