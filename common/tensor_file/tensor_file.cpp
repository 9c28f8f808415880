// SPDX-License-Identifier: Apache-2.0
#include "common/tensor_file/tensor_file.h"

#include <functional>
#include <numeric>
#include <set>

#include "common/error.h"
#include "common/tensor_file/safetensors_file.h"
#include "common/tensor_file/torch_file.h"

namespace vrwkv::tensor_file {
namespace {

MappedFile map(const std::filesystem::path& path) {
  try {
    return MappedFile(path);
  } catch (const IoError& error) {
    throw ConfigError("{} Check the path of the weights.", error.what());
  }
}

}  // namespace

std::int64_t StoredTensor::numel() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::uint64_t StoredTensor::span_bytes() const {
  if (numel() == 0) return 0;
  std::int64_t last = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) last += (shape[d] - 1) * strides[d];
  return static_cast<std::uint64_t>((last + 1) * element_bytes);
}

TensorFile TensorFile::open(const std::filesystem::path& path) {
  MappedFile file = map(path);
  Contents contents = parse(file.content(), path.string());
  return {std::move(file), std::move(contents.tensors), std::move(contents.metadata)};
}

void TensorFile::drop(const StoredTensor& tensor) const noexcept {
  file_.drop(tensor.begin, tensor.span_bytes());
}

Contents parse(std::string_view bytes, const std::string& name) {
  Contents contents;
  if (is_torch_file(bytes)) {
    contents.tensors = parse_torch_file(bytes, name);
  } else if (is_safetensors_file(bytes)) {
    contents = parse_safetensors_file(bytes, name);
  } else if (is_legacy_torch_file(bytes)) {
    throw ConfigError(
        "{}: is in PyTorch's format from before version 1.6 (only the zip format is read). Load it in Python "
        "and save it again with torch.save.",
        name);
  } else {
    throw ConfigError("{}: is neither a PyTorch file (torch.save) nor safetensors. Name a file of weights.",
                      name);
  }
  std::set<std::string_view> names;
  for (const StoredTensor& tensor : contents.tensors)
    if (!names.insert(tensor.name).second)
      throw CheckpointError("{}: holds two tensors named '{}' (which one counts?). Fetch the file again.",
                            name, tensor.name);
  return contents;
}

}  // namespace vrwkv::tensor_file
