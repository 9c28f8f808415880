// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vrwkv::data {

/// A larger file is refused before memory is taken for it. Photographs have some megabytes.
inline constexpr std::uint64_t kMostImageBytes = std::uint64_t{256} << 20;

/// Where image files come from. Immutable to its users, so threads may share it.
class ImageStore {
 public:
  virtual ~ImageStore() = default;

  /// The whole file of this name.
  /// @throws DataError when there is none, it may not be read, is empty, or larger than kMostImageBytes.
  /// @throws IoError when the machine cannot read it now, which says nothing of the image.
  virtual std::vector<std::uint8_t> read(const std::string& name) const = 0;
  /// Bytes of the file of this name, 0 of what is no file (a folder) or may not be looked at; nothing when
  /// there is nothing.
  /// @throws IoError as read() does.
  virtual std::optional<std::uint64_t> size(const std::string& name) const = 0;
  bool has(const std::string& name) const { return size(name).has_value(); }
  /// Names the file in messages.
  virtual std::string describe(const std::string& name) const = 0;
};

/// For instance those of each source of a mixture; threads may share them.
using ImageStores = std::vector<std::shared_ptr<const ImageStore>>;

/// Whether an error (errno) is about this file, and not about the machine or the disk at this moment.
bool is_fault_of_file(int error);

/// @param file  names it in messages. @throws DataError when an image file of so many bytes is empty or too
/// large.
void check_image_size(const std::string& file, std::uint64_t bytes);

/// Files below a folder: names are paths relative to it.
class FolderStore final : public ImageStore {
 public:
  explicit FolderStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::vector<std::uint8_t> read(const std::string& name) const override;
  std::optional<std::uint64_t> size(const std::string& name) const override;
  std::string describe(const std::string& name) const override { return (folder_ / name).string(); }

 private:
  std::filesystem::path folder_;
};

/// A folder on a fast local disk that keeps what was read (see CachedStore).
struct ImageCache {
  std::filesystem::path folder;  ///< "": none
  std::uint64_t limit_bytes = 0;
};

/// Where images are, as `[data] image_folder` says: each a folder, a tar file (its name ends in .tar), or tar
/// shards as a pattern whose last part has a `*`, which stands for any characters. Of several, the first that
/// has a name counts.
using ImagePlaces = std::vector<std::filesystem::path>;

/// @throws DataError when one of them has to be a folder and is none.
void require_image_folders(const std::vector<ImagePlaces>& sources);

/// Opens them. @throws DataError when no file fits a pattern, or as TarStore does. A folder is not looked at.
/// @throws IoError when the cache cannot be written.
std::shared_ptr<const ImageStore> open_image_store(const ImagePlaces& places, const ImageCache& cache = {});

/// open_image_store() for the places of each source; sources with the same share a store.
ImageStores open_image_stores(const std::vector<ImagePlaces>& sources, const ImageCache& cache = {});

}  // namespace vrwkv::data
