// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/tensor_file/tensor_writer.h"
#include "trainer/weight_source.h"

namespace vrwkv::trainer {

/// Which tensors go into which file.
enum class ExportParts {
  kAll,    ///< one file with every prefix, as the original's train.py saves and evaluate.py reads
  kSplit,  ///< NAME_rwkv (the language model without its prefix) and NAME_visual (the rest), as export.py
  kLanguageModel,  ///< a bare RWKV-7 file
  kProjector,      ///< proj. alone
};

/// Writes the weights as files that the original's tools read: torch.save's format, or safetensors where
/// `output` ends so. Tensor after tensor, in pieces: memory does not grow with the model.
/// @return the files written.
/// @throws ConfigError when the source has no such part, or `output` ends in neither .pth, .pt, .bin nor
///         .safetensors; IoError when a file cannot be written, and then none is replaced by a part of it.
std::vector<std::filesystem::path> export_weights(const WeightSource& source, ExportParts parts,
                                                  tensor_file::OutputType type,
                                                  const std::filesystem::path& output,
                                                  const std::map<std::string, std::string>& metadata);

}  // namespace vrwkv::trainer
