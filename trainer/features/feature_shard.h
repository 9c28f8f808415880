// SPDX-License-Identifier: Apache-2.0
// One file of a feature store. Its datasets, for n images of P tokens and D features:
//
//     /images    (n) text           names as the data file has them
//     /features  (n, P, D)          float32; bf16 as uint16; e4m3 as uint8; one chunk an image
//     /scales    (n, P) float32     with fp8 only
//     /crc32c    (n) int64          of an image's features, followed by its scales
//     /defects   (n) text           why an image has no features; "" when it has
//     /files     (n, 2) int64       of the image's file: bytes (-1: there was none), and CRC-32C
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/hdf5/partial_file.h"
#include "common/mapped_file.h"
#include "trainer/features/feature_type.h"
#include "trainer/features/image_identity.h"

namespace vrwkv::trainer {

/// What each image of a store has.
struct FeatureShape {
  std::int64_t tokens = 0;
  std::int64_t width = 0;
  FeatureType type = FeatureType::kFp32;

  std::int64_t feature_bytes() const { return tokens * width * bytes_per_element(type); }
  std::int64_t scale_bytes() const { return type == FeatureType::kFp8 ? tokens * 4 : 0; }
};

/// Writes one shard; it is there, whole, once it is committed.
class FeatureShardWriter {
 public:
  FeatureShardWriter(const std::filesystem::path& path, std::vector<std::string> images,
                     const FeatureShape& shape);
  void write(std::int64_t image, const ImageIdentity& file, const StoredFeatures& features);
  void refuse(std::int64_t image, const ImageIdentity& file, const std::string& reason);
  /// Every image must have been written or refused. @throws IoError.
  void commit();

 private:
  void enter(std::int64_t image, const ImageIdentity& file, std::uint32_t checksum);

  FeatureShape shape_;
  hdf5::PartialFile partial_;
  std::vector<std::int64_t> checksums_;
  std::vector<std::string> defects_;
  std::vector<std::int64_t> files_;
};

/// Reads one shard. Threads may share it.
class FeatureShard {
 public:
  /// @throws Error (data refused) when it is damaged or of another shape.
  FeatureShard(const std::filesystem::path& path, const FeatureShape& shape);

  const std::vector<std::string>& images() const { return images_; }
  /// Of an image, why it has no features; "" when it has.
  const std::string& defect(std::int64_t image) const { return defects_[static_cast<std::size_t>(image)]; }
  /// The file that its features, or its defect, were made of.
  ImageIdentity file_of(std::int64_t image) const {
    const auto i = static_cast<std::size_t>(image);
    return {files_[2 * i], files_[2 * i + 1]};
  }
  /// (P, D) fp32. @throws Error (data refused) when bytes changed since they were written.
  at::Tensor read(std::int64_t image) const;

 private:
  /// The bytes of one row. @throws Error when they lie beyond the file's end.
  const char* row(std::uint64_t offset, std::int64_t bytes) const;

  FeatureShape shape_;
  MappedFile file_;
  std::vector<std::string> images_;
  std::vector<std::string> defects_;
  std::vector<std::int64_t> checksums_;
  std::vector<std::int64_t> files_;
  std::vector<std::uint64_t> feature_offsets_;
  std::vector<std::uint64_t> scale_offsets_;
};

}  // namespace vrwkv::trainer
