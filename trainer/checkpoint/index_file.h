// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "trainer/checkpoint/manifest.h"

/// index.h5: every tensor whole, in its own shape, through HDF5 virtual datasets into the other files of the
/// folder.
namespace vrwkv::checkpoint {

/// Writes index.h5 into `folder` and waits until it is on the disk. Needs the manifest's tensors and shards;
/// the files they name need not exist yet. @throws IoError.
FileEntry write_index(const std::filesystem::path& folder, const Manifest& manifest);

}  // namespace vrwkv::checkpoint
