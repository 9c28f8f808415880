// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/storage/image_store.h"

namespace vrwkv::trainer {

/// Tells the image file that features were made of from another of the same name.
struct ImageIdentity {
  static constexpr std::int64_t kNoFile = -1;

  std::int64_t bytes = kNoFile;
  std::int64_t checksum = 0;  ///< CRC-32C
  bool operator==(const ImageIdentity&) const = default;
};

ImageIdentity identity_of(std::span<const std::uint8_t> file);
/// The same of what lies under a name now: reads the file whole. Of one that no store reads (empty, or too
/// large) its size alone. @throws IoError as ImageStore::read().
ImageIdentity identity_of(const data::ImageStore& store, const std::string& path);

/// Whether what lies under a name now has another size than `stored`, or, of an image without features, which
/// may have been mended, another content. A file that is gone has not changed: its features are of what it
/// was.
bool has_changed(const ImageIdentity& stored, bool has_features, const data::ImageStore& store,
                 const std::string& path);

}  // namespace vrwkv::trainer
