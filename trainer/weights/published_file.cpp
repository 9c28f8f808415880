// SPDX-License-Identifier: Apache-2.0
#include "trainer/weights/published_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "common/error.h"
#include "common/tensor_file/tensor_file.h"

namespace vrwkv::weights {
namespace {

using tensor_file::ElementType;
using tensor_file::StoredTensor;
using tensor_file::TensorFile;
using File = std::shared_ptr<const TensorFile>;

constexpr const char* kDinoV2 = "vit.dino_featurizer.";
constexpr const char* kSiglip = "vit.siglip_featurizer.";
constexpr const char* kSam = "vit.sam_featurizer.";

at::ScalarType scalar_type(const TensorFile& file, const StoredTensor& tensor) {
  switch (tensor.type) {
    case ElementType::kFloat64:
      return at::kDouble;
    case ElementType::kFloat32:
      return at::kFloat;
    case ElementType::kFloat16:
      return at::kHalf;
    case ElementType::kBFloat16:
      return at::kBFloat16;
    case ElementType::kOther:
      break;
  }
  throw ConfigError("{}: tensor '{}' does not hold floating-point numbers (a weight does).",
                    file.path().string(), tensor.name);
}

/// The tensor as it lies in the mapped file.
at::Tensor view(const TensorFile& file, const StoredTensor& tensor) {
  return at::from_blob(const_cast<void*>(file.data(tensor)), tensor.shape, tensor.strides,
                       at::TensorOptions(scalar_type(file, tensor)));
}

Weight weight_of(const File& file, const StoredTensor& tensor) {
  return {.shape = tensor.shape,
          .rows =
              [file, &tensor](std::int64_t first, std::int64_t count) {
                const at::Tensor whole = view(*file, tensor);
                return whole.dim() == 0 ? whole : whole.narrow(0, first, count);
              },
          .release = [file, &tensor] { file->drop(tensor); },
          .is_floating = tensor.type != ElementType::kOther};
}

bool starts_with_any(const std::string& name, std::initializer_list<const char*> prefixes) {
  for (const char* prefix : prefixes)
    if (name.starts_with(prefix)) return true;
  return false;
}

/// By any of the tensors that only one kind has, so that a file that lacks others is still told what it
/// lacks.
FileKind kind_of(const TensorFile& file) {
  const auto any_begins = [&](std::initializer_list<const char*> prefixes) {
    return std::any_of(file.tensors().begin(), file.tensors().end(),
                       [&](const StoredTensor& tensor) { return starts_with_any(tensor.name, prefixes); });
  };
  const auto any_contains = [&](const char* text) {
    return std::any_of(file.tensors().begin(), file.tensors().end(), [&](const StoredTensor& tensor) {
      return tensor.name.find(text) != std::string::npos;
    });
  };
  if (any_begins({"rwkv.", "vit.", "proj."})) return FileKind::kVisualRwkv;
  if (any_begins({"visual.trunk.", "attn_pool."})) return FileKind::kSiglip;
  if (any_begins({"image_encoder.", "neck."})) return FileKind::kSam;
  if (any_contains(".att.time_"))
    throw ConfigError(
        "{}: holds an RWKV language model older than RWKV-7 (its blocks have att.time_...), which this "
        "version does not read. Use an RWKV-x070 file.",
        file.path().string());
  if (any_contains(".att.")) return FileKind::kLanguageModel;
  if (any_contains(".ls1.gamma")) return FileKind::kDinoV2;
  throw ConfigError(
      "{}: its {} tensors are of no model we know (the first is '{}'). It should hold RWKV-7, DINOv2 with "
      "LayerScale, SigLIP, SAM or VisualRWKV.",
      file.path().string(), file.tensors().size(),
      file.tensors().empty() ? std::string() : file.tensors().front().name);
}

/// The name without `prefix`; without the prefix in it, nothing.
std::optional<std::string> below(const std::string& name, const std::string& prefix) {
  if (!name.starts_with(prefix)) return {};
  return name.substr(prefix.size());
}

std::optional<std::string> language_model_name(const std::string& name) {
  return starts_with_any(name, {"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"})
             ? std::nullopt
             : std::optional("rwkv." + name);
}

/// Our name of a tensor; nothing when no model needs it.
std::optional<std::string> our_name(FileKind kind, bool whole_file, const std::string& name) {
  const auto prefixed = [](const char* prefix, const std::optional<std::string>& rest) {
    return rest ? std::optional(prefix + *rest) : std::nullopt;
  };
  switch (kind) {
    case FileKind::kLanguageModel:
      return language_model_name(name);
    case FileKind::kDinoV2:
      if (name == "mask_token") return {};
      return std::string(kDinoV2) + (name == "register_tokens" ? "reg_token" : name);
    case FileKind::kSiglip:
      return prefixed(kSiglip, whole_file ? below(name, "visual.trunk.") : name);
    case FileKind::kSam:
      return prefixed(kSam, whole_file ? below(name, "image_encoder.") : name);
    case FileKind::kVisualRwkv:
      if (const auto rest = below(name, "rwkv.")) return language_model_name(*rest);
      return name;
  }
  return {};
}

bool is_square(std::int64_t number) {
  const auto side = std::lround(std::sqrt(static_cast<double>(number)));
  return side * side == number;
}

/// Meta's file has a position for the class token before those of the patches; timm's has it folded into the
/// token.
void fold_class_position(WeightTable& weights) {
  const auto found_positions = weights.find(std::string(kDinoV2) + "pos_embed");
  const auto found_token = weights.find(std::string(kDinoV2) + "cls_token");
  if (found_positions == weights.end() || found_token == weights.end()) return;
  Weight& positions = found_positions->second;
  Weight& token = found_token->second;
  if (positions.shape.size() != 3 || is_square(positions.shape[1]) || !is_square(positions.shape[1] - 1))
    return;
  token.rows = [stored = token, positions](std::int64_t, std::int64_t) {
    return stored.all().to(at::kFloat) + positions.all().narrow(1, 0, 1).to(at::kFloat);
  };
  positions.rows = [stored = positions](std::int64_t, std::int64_t) {
    return stored.all().narrow(1, 1, stored.shape[1] - 1);
  };
  --positions.shape[1];
}

}  // namespace

std::string describe(FileKind kind) {
  switch (kind) {
    case FileKind::kLanguageModel:
      return "an RWKV-7 language model";
    case FileKind::kDinoV2:
      return "DINOv2";
    case FileKind::kSiglip:
      return "SigLIP";
    case FileKind::kSam:
      return "SAM";
    case FileKind::kVisualRwkv:
      return "VisualRWKV";
  }
  return "";
}

PublishedFile open_published_file(const std::filesystem::path& path) {
  const auto file = std::make_shared<const TensorFile>(TensorFile::open(path));
  PublishedFile result{kind_of(*file), {}};
  bool whole_file = false;  // with the prefixes of the other towers, too
  for (const StoredTensor& tensor : file->tensors())
    whole_file = whole_file || starts_with_any(tensor.name, {"visual.trunk.", "image_encoder."});
  for (const StoredTensor& tensor : file->tensors())
    if (const auto name = our_name(result.kind, whole_file, tensor.name))
      result.weights.emplace(*name, weight_of(file, tensor));
  if (result.kind == FileKind::kDinoV2) fold_class_position(result.weights);
  for (const char* tower : {kDinoV2, kSiglip})
    if (const auto positions = result.weights.find(std::string(tower) + "pos_embed");
        positions != result.weights.end())
      positions->second.is_position_grid =
          positions->second.shape.size() == 3 && is_square(positions->second.shape[1]);
  return result;
}

}  // namespace vrwkv::weights
