// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/named_tensor.h"
#include "trainer/checkpoint/manifest.h"

/// frozen.h5: the tensors that do not train. They are the same in every checkpoint of a run, so one file
/// serves all.
namespace vrwkv::checkpoint {

/// "/vit.dino_featurizer.pos_embed": where frozen.h5 holds a tensor.
std::string frozen_dataset(const std::string& name);

/// CRC-32C over each tensor's name and a zero byte, its sizes (int64) and its values, in the given order.
/// @throws ShapeError when a tensor is not fp32 or has no dimension.
std::uint32_t checksum_tensors(const std::vector<NamedTensor>& tensors);

/// Puts frozen.h5 into `partial` and waits until it is on the disk: a hard link to (or, where the file system
/// has none, a copy of) the file of the newest checkpoint in `folder` that holds the same values undamaged,
/// else a new file.
/// @param manifest  of the new checkpoint, with `tensors` and `frozen_crc32c` set.  @throws IoError.
FileEntry provide_frozen(const std::filesystem::path& folder, const std::filesystem::path& partial,
                         const Manifest& manifest, const std::vector<NamedTensor>& frozen);

}  // namespace vrwkv::checkpoint
