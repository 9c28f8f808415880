// SPDX-License-Identifier: Apache-2.0
#include "trainer/checkpoint/index_file.h"

#include <string>
#include <vector>

#include "common/crc32c.h"
#include "common/file_system.h"
#include "common/hdf5/file.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/frozen_file.h"
#include "trainer/checkpoint/shard_file.h"

namespace vrwkv::checkpoint {
namespace {

void write_trainable(hdf5::File& index, const TensorEntry& tensor, const std::vector<FileEntry>& shards) {
  const auto show = [&](const std::string& group, const char* dataset) {
    std::vector<hdf5::Source> sources;
    for (const Transfer& part : find_flat_range(shards, tensor.offset, tensor.offset + tensor.numel, 0)) {
      const FileEntry& shard = shards[part.file];
      sources.push_back({.file = shard.name,
                         .dataset = dataset,
                         .source_elements = shard.end - shard.begin,
                         .source_begin = part.source_begin,
                         .target_begin = part.target_begin,
                         .elements = part.elements});
    }
    index.write_virtual(group + tensor.name, tensor.shape, sources);
  };
  // Parameters are computed with in fp32, so a parameter and its master weights are the same values.
  show("/parameters/", kMasterDataset);
  show("/masters/", kMasterDataset);
  show("/exp_avg/", kExpAvgDataset);
  show("/exp_avg_sq/", kExpAvgSqDataset);
}

}  // namespace

FileEntry write_index(const std::filesystem::path& folder, const Manifest& manifest) {
  const std::filesystem::path path = folder / kIndexFile;
  const std::vector<FileEntry> shards = manifest.shards();
  hdf5::File index = hdf5::File::create(path);
  for (const TensorEntry& tensor : manifest.tensors) {
    if (tensor.trainable) {
      write_trainable(index, tensor, shards);
    } else {
      index.write_virtual_whole("/parameters/" + tensor.name, tensor.shape, kFrozenFile,
                                frozen_dataset(tensor.name));
    }
  }
  index.write_attribute("/", "format_version", kFormatVersion);
  index.write_attribute("/", "step", manifest.state.step);
  index.close();
  sync_to_disk(path);
  const FileChecksum checksum = checksum_file(path);
  return {.name = kIndexFile, .bytes = checksum.bytes, .crc32c = checksum.crc32c};
}

}  // namespace vrwkv::checkpoint
