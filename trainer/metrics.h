// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>

namespace vrwkv::trainer {

/// One optimizer step, over all ranks; seconds and bytes are the maximum over the ranks.
struct StepMetrics {
  std::int64_t step = 0;
  double loss = 0;
  double learning_rate = 0;
  double grad_norm = 0;
  std::int64_t samples = 0;
  std::int64_t tokens = 0;
  std::int64_t supervised_tokens = 0;
  double step_seconds = 0;
  double data_wait_seconds = 0;
  double communication_wait_seconds = 0;
  double checkpoint_stall_seconds = 0;
  std::int64_t memory_bytes = 0;
};

/// metrics.jsonl: one JSON object a step. Floats are written so that they read back to the same bits.
class MetricsFile {
 public:
  /// Opens for appending after the first `rows` rows, dropping later ones (steps that a checkpoint does not
  /// hold are computed again). @throws IoError; @throws CheckpointError when the file has fewer rows than
  /// that, or one of them is damaged; the file is as it was then.
  MetricsFile(const std::filesystem::path& file, std::int64_t rows);

  /// @throws IoError when the row does not reach the file (full disk).
  void append(const StepMetrics& metrics);
  std::int64_t rows() const { return rows_; }
  /// The first row of the file, if any.
  const std::optional<double>& first_loss() const { return first_loss_; }

 private:
  std::filesystem::path file_;
  std::ofstream stream_;
  std::int64_t rows_ = 0;
  std::optional<double> first_loss_;
};

/// Largest resident memory of this process so far.
std::int64_t peak_process_bytes();

}  // namespace vrwkv::trainer
