// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <functional>
#include <numeric>
#include <optional>
#include <span>

#include "common/hdf5/file.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/frozen_file.h"
#include "trainer/checkpoint/shard_file.h"

namespace vrwkv::checkpoint {

struct ParameterReader::Files {
  explicit Files(const std::filesystem::path& path)
      : checkpoint(path), manifest(verify(path)), shard_entries(manifest.shards()), shards(path, manifest) {}

  std::filesystem::path checkpoint;
  Manifest manifest;
  std::vector<FileEntry> shard_entries;
  ShardFiles shards;
  std::optional<hdf5::File> frozen;
};

ParameterReader::ParameterReader(const std::filesystem::path& checkpoint)
    : files_(std::make_unique<Files>(checkpoint)) {}
ParameterReader::ParameterReader(ParameterReader&&) noexcept = default;
ParameterReader& ParameterReader::operator=(ParameterReader&&) noexcept = default;
ParameterReader::~ParameterReader() = default;

const Manifest& ParameterReader::manifest() const { return files_->manifest; }

at::Tensor ParameterReader::rows(const TensorEntry& tensor, std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> shape = tensor.shape;
  const std::int64_t row =
      std::accumulate(shape.begin() + 1, shape.end(), std::int64_t{1}, std::multiplies<>());
  shape[0] = count;
  const at::Tensor values = at::empty(shape, at::kFloat);
  const std::span<float> target(values.data_ptr<float>(), static_cast<std::size_t>(values.numel()));
  if (tensor.trainable) {
    const std::int64_t begin = tensor.offset + first * row;
    files_->shards.read(kMasterDataset, find_flat_range(files_->shard_entries, begin, begin + count * row, 0),
                        target);
  } else {
    if (!files_->frozen) files_->frozen = hdf5::File::open(files_->checkpoint / kFrozenFile);
    files_->frozen->read_range(frozen_dataset(tensor.name), first * row, target);
  }
  return values;
}

std::map<std::string, at::Tensor> load_parameters(const std::filesystem::path& checkpoint) {
  ParameterReader reader(checkpoint);
  std::map<std::string, at::Tensor> result;
  for (const TensorEntry& tensor : reader.manifest().tensors)
    result.emplace(tensor.name, reader.rows(tensor, 0, tensor.shape[0]));
  return result;
}

}  // namespace vrwkv::checkpoint
