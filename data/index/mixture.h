// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/file_system.h"
#include "data/index/sample_index.h"
#include "data/text/record.h"

namespace vrwkv::data {

/// One data file of a mixture.
struct DataSource {
  std::filesystem::path file;  ///< JSON array of samples
  std::vector<std::filesystem::path>
      image_folder;   ///< places of its images, as open_image_store() takes them
  double weight = 1;  ///< how often each sample comes up in an epoch, on average
  bool operator==(const DataSource&) const = default;
};

/// How a model sees the samples of a mixture.
struct MixtureView {
  std::int64_t context_length = 0;
  std::int64_t tokens_per_image = 0;
  bool takes_images = true;  ///< false: a model without vision encoders, for which an image is a defect
  ConversationRules conversation = ConversationRules::kStrict;
};

/// What training on one sample involves, known without reading it.
struct SampleFacts {
  std::int64_t tokens = 0;   ///< images included, after the cut to the context
  std::int64_t images = 0;   ///< that the cut leaves
  std::int64_t targets = 0;  ///< of the whole sample; images are none
  bool is_bad = false;       ///< see Mixture::defect()
};

/// All samples of one or several data files, numbered through, source after source: the record number, from
/// 0. Holds mapped indexes and open data files. Threads may share it.
class Mixture {
 public:
  /// Opens every source and its index, made where it is missing or stale: see open_or_make_index().
  /// @throws DataError, IoError as open_or_make_index() does.  @throws ConfigError when there is no source,
  /// or one has such a small weight that it would give no sample.
  Mixture(const std::vector<DataSource>& sources, const Tokenizer& tokenizer, const MixtureView& view,
          const std::filesystem::path& fallback_folder = {});

  std::int64_t size() const { return parts_.back().first_record + parts_.back().index.size(); }
  SampleFacts facts(std::int64_t record) const;
  /// Why a sample should not be trained on, as SampleReader says it, as far as its text tells: images are not
  /// looked at. "" when it is good.
  std::string defect(std::int64_t record) const;
  /// @throws DataError when the data file was cut off or changed into something malformed since it was
  /// indexed.
  /// @throws IoError when it cannot be read.
  Record read(std::int64_t record) const;

  /// Two mixtures with equal fingerprints hold the same samples under the same record numbers. Of the data
  /// files' bytes, weights, vocabulary and rules; not of their places, times or images.
  std::uint64_t fingerprint() const;

  struct Part {
    DataSource source;
    SampleIndex index;
    FileDescriptor file;
    std::int64_t first_record = 0;
    std::int64_t samples_per_epoch = 0;  ///< round(weight * samples)
  };
  const std::vector<Part>& parts() const { return parts_; }
  const MixtureView& view() const { return view_; }
  /// The part that holds a record.
  const Part& part_of(std::int64_t record) const;

 private:
  std::vector<Part> parts_;
  MixtureView view_;
};

}  // namespace vrwkv::data
