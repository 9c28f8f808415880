// SPDX-License-Identifier: Apache-2.0
#include "trainer/checkpoint/frozen_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>

#include "common/crc32c.h"
#include "common/error.h"
#include "common/file_system.h"
#include "common/hdf5/file.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"

namespace vrwkv::checkpoint {
namespace {

namespace fs = std::filesystem;

bool has_bytes_of(const fs::path& path, const FileEntry& entry) {
  const FileChecksum checksum = checksum_file(path);
  return checksum.bytes == entry.bytes && checksum.crc32c == entry.crc32c;
}

std::vector<TensorEntry> frozen_entries(const Manifest& manifest) {
  std::vector<TensorEntry> result;
  std::copy_if(manifest.tensors.begin(), manifest.tensors.end(), std::back_inserter(result),
               [](const TensorEntry& tensor) { return !tensor.trainable; });
  return result;
}

/// The entry of `checkpoint`'s frozen.h5 when it holds what `wanted` describes and is undamaged.
std::optional<FileEntry> reusable(const fs::path& checkpoint, const Manifest& wanted) {
  try {
    const Manifest manifest = describe(checkpoint);
    const FileEntry* file = manifest.find_file(kFrozenFile);
    if (file == nullptr || manifest.frozen_crc32c != wanted.frozen_crc32c ||
        frozen_entries(manifest) != frozen_entries(wanted) || !has_bytes_of(checkpoint / kFrozenFile, *file))
      return {};
    return *file;
  } catch (const CheckpointError&) {  // damaged: verify() reports it when someone wants that checkpoint
    return {};
  } catch (const IoError&) {
    return {};
  }
}

bool link_or_copy(const fs::path& from, const fs::path& to, const FileEntry& entry) {
  std::error_code failure;
  fs::create_hard_link(from, to, failure);
  if (!failure) return true;
  if (!fs::copy_file(from, to, failure) || failure)
    throw IoError("{}: cannot be copied from {} ({})", to.string(), from.string(), failure.message());
  sync_to_disk(to);
  return has_bytes_of(to, entry);
}

FileEntry write_frozen(const fs::path& path, const std::vector<NamedTensor>& frozen) {
  hdf5::File file = hdf5::File::create(path);
  for (const auto& [name, tensor] : frozen) {
    const at::Tensor values = tensor.detach().cpu().contiguous();
    file.write(frozen_dataset(name),
               std::span(values.const_data_ptr<float>(), static_cast<std::size_t>(values.numel())),
               values.sizes().vec());
  }
  file.close();
  sync_to_disk(path);
  const FileChecksum checksum = checksum_file(path);
  return {.name = kFrozenFile, .bytes = checksum.bytes, .crc32c = checksum.crc32c};
}

}  // namespace

std::string frozen_dataset(const std::string& name) { return "/" + name; }

std::uint32_t checksum_tensors(const std::vector<NamedTensor>& tensors) {
  std::uint32_t checksum = 0;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.scalar_type() != at::kFloat || tensor.dim() == 0)
      throw ShapeError("checkpoint: '{}' is not an fp32 tensor with dimensions.", name);
    const at::Tensor values = tensor.detach().cpu().contiguous();
    checksum = crc32c(name.c_str(), name.size() + 1, checksum);
    checksum = crc32c(values.sizes().data(), values.sizes().size() * sizeof(std::int64_t), checksum);
    checksum = crc32c(values.const_data_ptr(), values.nbytes(), checksum);
  }
  return checksum;
}

FileEntry provide_frozen(const fs::path& folder, const fs::path& partial, const Manifest& manifest,
                         const std::vector<NamedTensor>& frozen) {
  const fs::path path = partial / kFrozenFile;
  std::vector<fs::path> candidates = list(folder);
  std::reverse(candidates.begin(), candidates.end());
  for (const fs::path& candidate : candidates) {
    const auto entry = reusable(candidate, manifest);
    if (!entry) continue;
    if (link_or_copy(candidate / kFrozenFile, path, *entry)) return *entry;
    fs::remove(path);
  }
  return write_frozen(path, frozen);
}

}  // namespace vrwkv::checkpoint
