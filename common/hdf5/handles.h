// SPDX-License-Identifier: Apache-2.0
// What File's own sources share: handles that close themselves, and calls that explain their failure.
#pragma once

#include <hdf5.h>

#include <filesystem>
#include <string>
#include <vector>

#include "common/hdf5/file.h"
#include "common/unique_handle.h"

namespace vrwkv::hdf5 {

template <herr_t (*kClose)(hid_t)>
struct IdTraits {
  using type = hid_t;
  static constexpr hid_t null() noexcept { return H5I_INVALID_HID; }
  static void release(hid_t id) noexcept { kClose(id); }
};
using Dataset = UniqueHandle<IdTraits<H5Dclose>>;
using Dataspace = UniqueHandle<IdTraits<H5Sclose>>;
using Properties = UniqueHandle<IdTraits<H5Pclose>>;
using Attribute = UniqueHandle<IdTraits<H5Aclose>>;
using Datatype = UniqueHandle<IdTraits<H5Tclose>>;
using Object = UniqueHandle<IdTraits<H5Oclose>>;

/// @throws IoError "path: what: HDF5's innermost reason".
[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what);
/// `id`, or `status`, unless it tells of a failure.
hid_t checked(hid_t id, const std::filesystem::path& path, const std::string& what);
void checked_status(herr_t status, const std::filesystem::path& path, const std::string& what);

std::vector<hsize_t> to_sizes(const Dims& dims);
Dataspace make_space(const Dims& dims, const std::filesystem::path& path);
/// Links made with it make the groups on their way.
Properties creates_groups();

}  // namespace vrwkv::hdf5
