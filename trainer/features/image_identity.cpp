// SPDX-License-Identifier: Apache-2.0
#include "trainer/features/image_identity.h"

#include "common/crc32c.h"
#include "common/error.h"

namespace vrwkv::trainer {

ImageIdentity identity_of(std::span<const std::uint8_t> file) {
  return {static_cast<std::int64_t>(file.size()), crc32c(file.data(), file.size())};
}

ImageIdentity identity_of(const data::ImageStore& store, const std::string& path) {
  const auto size = store.size(path);
  if (!size) return {};
  try {
    return identity_of(store.read(path));
  } catch (const DataError&) {
    return {static_cast<std::int64_t>(*size), 0};
  }
}

bool has_changed(const ImageIdentity& stored, bool has_features, const data::ImageStore& store,
                 const std::string& path) {
  const auto size = store.size(path);
  if (!size) return false;
  if (static_cast<std::int64_t>(*size) != stored.bytes) return true;
  return !has_features && identity_of(store, path) != stored;
}

}  // namespace vrwkv::trainer
