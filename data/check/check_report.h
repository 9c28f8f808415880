// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/check/check_chunk.h"
#include "data/index/mixture.h"
#include "data/ledger/quarantine.h"

namespace vrwkv::data {

/// What the whole check of a mixture found.
struct CheckReport {
  struct Kind {
    bool is_bad = false;
    std::int64_t count = 0;  ///< findings
  };
  std::int64_t samples = 0;
  std::int64_t images = 0;  ///< distinct ones of each source
  std::map<std::string, Kind> kinds;
  std::vector<Finding>
      sample_findings;  ///< by record number; among them each sample with a bad image, and duplicates
  std::vector<std::int64_t> tokens;       ///< samples in each of kTokenClasses, before any cut
  std::vector<std::int64_t> image_sides;  ///< images in each of kSideClasses
  Quarantine quarantine;                  ///< samples that cannot be trained on

  /// One JSON object: fingerprint of the mixture, counts, histograms as lists of {up_to, count}, and every
  /// finding.
  std::string json(const Mixture& mixture) const;
};

/// Puts together what all chunks gave. @param done  by number among check_chunks(). @throws IoError unless
/// all are there. A sample whose turns, and images of the same places, equal an earlier one's is a finding of
/// kind duplicate, which is not bad.
CheckReport make_check_report(const Mixture& mixture, const std::map<std::int64_t, ChunkFindings>& done);

}  // namespace vrwkv::data
