// SPDX-License-Identifier: Apache-2.0
#include "data/storage/store_list.h"

#include <algorithm>

#include "common/error.h"

namespace vrwkv::data {

std::vector<std::uint8_t> StoreList::read(const std::string& name) const {
  if (const ImageStore* store = find(name)) return store->read(name);
  throw DataError(
      "{}: is in none of the {} places of images. Check [data] image_folder and the sample's file name.",
      name, stores_.size());
}

std::optional<std::uint64_t> StoreList::size(const std::string& name) const {
  const ImageStore* store = find(name);
  return store == nullptr ? std::nullopt : store->size(name);
}

std::string StoreList::describe(const std::string& name) const {
  const ImageStore* store = find(name);
  return store == nullptr ? name : store->describe(name);
}

const ImageStore* StoreList::find(const std::string& name) const {
  const auto found =
      std::find_if(stores_.begin(), stores_.end(), [&](const auto& store) { return store->has(name); });
  return found == stores_.end() ? nullptr : found->get();
}

}  // namespace vrwkv::data
