// SPDX-License-Identifier: Apache-2.0
#include "common/tensor_file/tensor_writer.h"

#include <functional>
#include <numeric>

#include "common/tensor_file/safetensors_writer.h"
#include "common/tensor_file/torch_writer.h"

namespace vrwkv::tensor_file {

std::int64_t element_bytes(OutputType type) { return type == OutputType::kFloat32 ? 4 : 2; }

std::int64_t TensorHeader::numel() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::unique_ptr<TensorWriter> TensorWriter::create(Format format, const std::filesystem::path& path,
                                                   std::vector<TensorHeader> tensors, OutputType type,
                                                   const std::map<std::string, std::string>& metadata) {
  if (format == Format::kSafetensors)
    return std::make_unique<SafetensorsWriter>(path, tensors, type, metadata);
  return std::make_unique<TorchWriter>(path, std::move(tensors), type);
}

}  // namespace vrwkv::tensor_file
