// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/prepare/sample_plan.h"

namespace vrwkv::data {

struct PrepareOptions {
  SplitRules rules;
  std::optional<std::uint32_t> shuffle_seed;  ///< of Python's generator; without one the order stays
};

/// A sample of which something does not appear in the output, or that should be looked at.
struct PrepareFinding {
  enum class Kind { kDroppedRounds, kDroppedSample, kOdd };
  Kind kind = Kind::kOdd;
  std::int64_t record = 0;  ///< position in the input, from 0
  std::int64_t line = 0;
  std::string id;
  std::string message;
};

struct PrepareSummary {
  std::int64_t samples_in = 0;
  std::int64_t samples_out = 0;
  std::int64_t split_samples = 0;
  std::int64_t dropped_rounds = 0;  ///< those of dropped samples included
  std::int64_t dropped_samples = 0;
  std::int64_t odd_samples = 0;
  std::vector<PrepareFinding> findings;
};

/// @throws ConfigError when `input` is `output`, or the `output`.partial that is written first.
void require_other_output(const std::filesystem::path& input, const std::filesystem::path& output);

/// Reads a data file once from begin to end (with a shuffle, a second time in the new order) and writes what
/// plan_sample() makes of its samples, one a line. Parts of a sample that was split are named
/// `ID#RECORD-PART`, both numbers from 0, so that they differ also where ids repeat. Holds no text; with a
/// shuffle 32 bytes for each sample of the output. The same input gives the same bytes.
/// `output` appears, or is replaced, when all of it is written.
/// @throws DataError "file:line: ..." at the first thing that is malformed, and when no sample is left.
/// @throws ConfigError as require_other_output().
/// @throws IoError when `output` cannot be written.
PrepareSummary prepare_file(const std::filesystem::path& input, const std::filesystem::path& output,
                            const PrepareOptions& options);

}  // namespace vrwkv::data
