// SPDX-License-Identifier: Apache-2.0
#include "common/hdf5/handles.h"

#include "common/error.h"

namespace vrwkv::hdf5 {
namespace {

herr_t keep_description(unsigned, const H5E_error2_t* entry, void* text) {
  if (entry->desc != nullptr && *entry->desc != '\0') *static_cast<std::string*>(text) = entry->desc;
  return 0;
}

}  // namespace

void fail(const std::filesystem::path& path, const std::string& what) {
  std::string reason = "no reason given";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_description, &reason);
  throw IoError("{}: {}: {}", path.string(), what, reason);
}

hid_t checked(hid_t id, const std::filesystem::path& path, const std::string& what) {
  if (id < 0) fail(path, what);
  return id;
}
void checked_status(herr_t status, const std::filesystem::path& path, const std::string& what) {
  if (status < 0) fail(path, what);
}

std::vector<hsize_t> to_sizes(const Dims& dims) { return {dims.begin(), dims.end()}; }

Dataspace make_space(const Dims& dims, const std::filesystem::path& path) {
  const auto sizes = to_sizes(dims);
  const hid_t id = dims.empty() ? H5Screate(H5S_SCALAR)
                                : H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr);
  return Dataspace(checked(id, path, "dataspace"));
}

Properties creates_groups() {
  Properties properties(H5Pcreate(H5P_LINK_CREATE));
  H5Pset_create_intermediate_group(properties.get(), 1);
  return properties;
}

}  // namespace vrwkv::hdf5
