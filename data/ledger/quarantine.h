// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace vrwkv::data {

/// A sample that cannot be trained on.
struct BadSample {
  std::int64_t record = 0;
  std::string id;
  std::string reason;  ///< a whole message: "file: sample 'id': ..."
};

/// The samples of a mixture that cannot be trained on, for people, and for later runs that leave them out
/// from the beginning. As a file, by record:
/// {"fingerprint": "of the mixture", "samples": [{"record": ..., "id": ..., "reason": ...}, ...]}
class Quarantine {
 public:
  /// A list of no data.
  Quarantine() = default;
  /// An empty one. @param mixture  Mixture::fingerprint().
  explicit Quarantine(std::uint64_t mixture);
  /// @throws DataError "file: ..." when it cannot be read or holds something else.
  static Quarantine read(const std::filesystem::path& file);

  /// Returns whether the sample is new to the list.
  bool add(BadSample sample);
  /// Whether its record numbers are those of this mixture.
  bool is_of(std::uint64_t mixture) const;
  bool contains(std::int64_t record) const { return samples_.contains(record); }
  const std::map<std::int64_t, BadSample>& samples() const { return samples_; }
  /// CRC-32C of the record numbers: equal where the same samples are left out.
  std::uint32_t checksum() const;
  /// Replaces the file as a whole. @throws IoError.
  void write(const std::filesystem::path& file) const;

 private:
  std::string fingerprint_;
  std::map<std::int64_t, BadSample> samples_;
};

}  // namespace vrwkv::data
