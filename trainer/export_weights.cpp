// SPDX-License-Identifier: Apache-2.0
#include "trainer/export_weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <span>

#include "common/error.h"
#include "common/log.h"

namespace vrwkv::trainer {
namespace {

namespace fs = std::filesystem;
using tensor_file::OutputType;
using tensor_file::TensorWriter;
using weights::Weight;

constexpr std::int64_t kPieceElements = std::int64_t{1} << 22;
constexpr std::string_view kLanguageModelPrefix = "rwkv.";

at::ScalarType scalar_type(OutputType type) {
  if (type == OutputType::kFloat32) return at::kFloat;
  return type == OutputType::kFloat16 ? at::kHalf : at::kBFloat16;
}

TensorWriter::Format format_of(const fs::path& output) {
  const std::string extension = output.extension().string();
  if (extension == ".safetensors") return TensorWriter::Format::kSafetensors;
  if (extension == ".pth" || extension == ".pt" || extension == ".bin") return TensorWriter::Format::kTorch;
  throw ConfigError(
      "{}: ends in neither .pth, .pt, .bin nor .safetensors (the ending says which format to write).",
      output.string());
}

/// Our name in, the file's name out; nothing when it does not belong there.
using Naming = std::function<std::optional<std::string>(const std::string&)>;

std::optional<std::string> without_prefix(const std::string& name) {
  if (!name.starts_with(kLanguageModelPrefix)) return {};
  return name.substr(kLanguageModelPrefix.size());
}
std::optional<std::string> visual_part(const std::string& name) {
  return name.starts_with(kLanguageModelPrefix) ? std::nullopt : std::optional(name);
}
std::optional<std::string> projector_part(const std::string& name) {
  return name.starts_with("proj.") ? std::optional(name) : std::nullopt;
}

struct Plan {
  fs::path path;
  Naming naming;
};

std::vector<Plan> plan(ExportParts parts, const fs::path& output) {
  const auto with_suffix = [&](const char* suffix) {
    return output.parent_path() / (output.stem().string() + suffix + output.extension().string());
  };
  switch (parts) {
    case ExportParts::kAll:
      return {{output, [](const std::string& name) { return std::optional(name); }}};
    case ExportParts::kSplit:
      return {{with_suffix("_rwkv"), without_prefix}, {with_suffix("_visual"), visual_part}};
    case ExportParts::kLanguageModel:
      return {{output, without_prefix}};
    case ExportParts::kProjector:
      return {{output, projector_part}};
  }
  return {};
}

/// Finite numbers that the type cannot hold become infinite: fp16 ends at 65,504.
void warn_of_overflow(const at::Tensor& piece, const at::Tensor& converted, const std::string& name) {
  if (converted.isinf().any().item<bool>() && !piece.isinf().any().item<bool>())
    log::warning("{}: values beyond the type's range became infinite. Export as bf16 or fp32.", name);
}

void write_weight(TensorWriter& writer, const std::string& name, const Weight& weight, OutputType type) {
  const std::int64_t rows = weight.shape.empty() ? 1 : weight.shape[0];
  const std::int64_t row_elements =
      std::max<std::int64_t>(1, weight.numel() / std::max<std::int64_t>(1, rows));
  const std::int64_t step = std::max<std::int64_t>(1, kPieceElements / row_elements);
  for (std::int64_t first = 0; first < rows; first += step) {
    const at::Tensor piece = weight.rows(first, std::min(step, rows - first));
    const at::Tensor converted = piece.to(scalar_type(type)).contiguous();
    if (type == OutputType::kFloat16) warn_of_overflow(piece, converted, name);
    writer.write({static_cast<const std::byte*>(converted.const_data_ptr()), converted.nbytes()});
  }
  weight.release();
}

std::vector<tensor_file::TensorHeader> headers_of(const WeightSource& source, const Plan& file) {
  std::vector<tensor_file::TensorHeader> headers;
  for (const auto& [name, weight] : source.table)
    if (const auto written = file.naming(name)) headers.push_back({*written, weight.shape});
  if (headers.empty())
    throw ConfigError("{}: has no tensors of the part that {} should hold.", source.where,
                      file.path.string());
  return headers;
}

void write_file(const WeightSource& source, const Plan& file, OutputType type,
                const std::map<std::string, std::string>& metadata) {
  const auto writer =
      TensorWriter::create(format_of(file.path), file.path, headers_of(source, file), type, metadata);
  for (const auto& [name, weight] : source.table)
    if (file.naming(name)) write_weight(*writer, name, weight, type);
  writer->finish();
}

}  // namespace

std::vector<fs::path> export_weights(const WeightSource& source, ExportParts parts, OutputType type,
                                     const fs::path& output,
                                     const std::map<std::string, std::string>& metadata) {
  const at::NoGradGuard no_grad;
  format_of(output);
  const std::vector<Plan> files = plan(parts, output);
  for (const Plan& file : files) headers_of(source, file);  // all or none
  std::vector<fs::path> written;
  for (const Plan& file : files) {
    write_file(source, file, type, metadata);
    written.push_back(file.path);
  }
  return written;
}

}  // namespace vrwkv::trainer
