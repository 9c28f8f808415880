// SPDX-License-Identifier: Apache-2.0
#include "trainer/metrics.h"

#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "common/error.h"
#include "common/file_system.h"

namespace vrwkv::trainer {
namespace {

/// The loss in a row, or nothing when `line` is not the whole row of `step`.
std::optional<double> loss_in(const std::string& line, std::int64_t step) {
  const auto row = nlohmann::json::parse(line, /*callback=*/nullptr, /*allow_exceptions=*/false);
  if (!row.is_object() || !row.contains("step") || row["step"] != step) return {};
  if (!row.contains("loss") || !row["loss"].is_number()) return {};
  return row["loss"].get<double>();
}

}  // namespace

MetricsFile::MetricsFile(const std::filesystem::path& file, std::int64_t rows) : file_(file), rows_(rows) {
  std::string kept;
  std::ifstream old(file);
  std::string line;
  for (std::int64_t row = 0; row < rows; ++row) {
    if (!std::getline(old, line))
      throw CheckpointError(
          "{}: {} rows but the checkpoint was written after row {} (steps would be missing). "
          "Restore the file.",
          file.string(), row, rows);
    const std::optional<double> loss = loss_in(line, row + 1);
    if (!loss)
      throw CheckpointError(
          "{}:{}: is not the whole row of step {} (the checkpoint was written after step {}, so the "
          "file was damaged since). Restore the file.",
          file.string(), row + 1, row + 1, rows);
    if (row == 0) first_loss_ = loss;
    kept += line + "\n";
  }
  old.close();
  write_file_atomically(file, kept);
  stream_.open(file, std::ios::app);
  if (!stream_) throw IoError("{}: cannot be opened ({})", file.string(), std::strerror(errno));
}

void MetricsFile::append(const StepMetrics& metrics) {
  // ordered_json keeps the documented order; nlohmann writes the shortest text that reads back to the same
  // double.
  const nlohmann::ordered_json row = {
      {"step", metrics.step},
      {"loss", metrics.loss},
      {"learning_rate", metrics.learning_rate},
      {"grad_norm", metrics.grad_norm},
      {"samples", metrics.samples},
      {"tokens", metrics.tokens},
      {"supervised_tokens", metrics.supervised_tokens},
      {"step_seconds", metrics.step_seconds},
      {"data_wait_seconds", metrics.data_wait_seconds},
      {"communication_wait_seconds", metrics.communication_wait_seconds},
      {"checkpoint_stall_seconds", metrics.checkpoint_stall_seconds},
      {"memory_bytes", metrics.memory_bytes},
  };
  stream_ << row.dump() << '\n' << std::flush;
  if (!stream_)
    throw IoError("{}: row {} cannot be written ({})", file_.string(), rows_ + 1, std::strerror(errno));
  ++rows_;
  if (!first_loss_) first_loss_ = metrics.loss;
}

std::int64_t peak_process_bytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace vrwkv::trainer
