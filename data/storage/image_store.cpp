// SPDX-License-Identifier: Apache-2.0
#include "data/storage/image_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include "common/error.h"
#include "common/file_system.h"
#include "common/with_retries.h"
#include "data/storage/cached_store.h"
#include "data/storage/store_list.h"
#include "data/storage/tar_store.h"

namespace vrwkv::data {
namespace {

/// Whether `pattern`, in which * stands for any characters, fits all of `name`.
bool fits(std::string_view pattern, std::string_view name) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == name;
  if (!name.starts_with(pattern.substr(0, star))) return false;
  const std::string_view rest = pattern.substr(star + 1);
  for (std::size_t begin = star; begin <= name.size(); ++begin)
    if (fits(rest, name.substr(begin))) return true;
  return false;
}

/// Whether it is an index that lies beside a shard, whatever the shard's name, or one that is being written.
bool is_beside_shards(std::string_view name) {
  return name.ends_with(".index") || name.find(".index.partial") != std::string_view::npos;
}

/// In the order of their names.
std::vector<std::filesystem::path> files_that_fit(const std::filesystem::path& pattern) {
  std::vector<std::filesystem::path> files;
  std::error_code failure;
  std::filesystem::directory_iterator folder(pattern.parent_path(), failure), end;
  for (; !failure && folder != end; folder.increment(failure)) {
    const std::string name = folder->path().filename().string();
    if (fits(pattern.filename().string(), name) && !is_beside_shards(name)) files.push_back(folder->path());
  }
  if (failure)
    throw DataError("{}: cannot be read ({}). Check [data] image_folder.", pattern.parent_path().string(),
                    failure.message());
  if (files.empty())
    throw DataError("{}: no file fits this pattern. Check [data] image_folder.", pattern.string());
  std::sort(files.begin(), files.end());
  return files;
}

bool forbids(int error) { return error == EACCES || error == EPERM; }

std::vector<std::uint8_t> read_image_file(const std::filesystem::path& path) {
  // Without waiting for somebody to write into what turns out to be a pipe.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  int error = file && ::fstat(file.get(), &status) == 0 ? 0 : errno;
  if (error == 0 && !S_ISREG(status.st_mode)) error = EISDIR;
  if (is_fault_of_file(error))
    throw DataError("{}: cannot be read ({}). Check the image folder and the sample's file name{}.",
                    path.string(), std::strerror(error), forbids(error) ? ", and who may read them" : "");
  if (error != 0) throw IoError("{}: cannot be opened ({}).", path.string(), std::strerror(error));
  check_image_size(path.string(), static_cast<std::uint64_t>(status.st_size));
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(status.st_size));
  bytes.resize(read_at(file, path, 0, {reinterpret_cast<char*>(bytes.data()), bytes.size()}));
  return bytes;
}

bool is_pattern(const std::filesystem::path& where) {
  return where.filename().string().find('*') != std::string::npos;
}
bool is_tar_file(const std::filesystem::path& where) { return where.extension() == ".tar"; }

std::shared_ptr<const ImageStore> open_place(const std::filesystem::path& where) {
  if (is_pattern(where)) return std::make_shared<TarStore>(files_that_fit(where));
  if (is_tar_file(where)) return std::make_shared<TarStore>(std::vector{where});
  return std::make_shared<FolderStore>(where);
}

std::shared_ptr<const ImageStore> open_without_cache(const ImagePlaces& places) {
  if (places.empty()) return open_place({});
  if (places.size() == 1) return open_place(places.front());
  ImageStores stores;
  for (const auto& place : places) stores.push_back(open_place(place));
  return std::make_shared<StoreList>(std::move(stores));
}

}  // namespace

bool is_fault_of_file(int error) {
  return error == ENOENT || error == ENOTDIR || error == EISDIR || error == ENAMETOOLONG || error == ELOOP ||
         error == ENXIO || forbids(error);
}

void check_image_size(const std::string& file, std::uint64_t bytes) {
  if (bytes == 0)
    throw DataError("{}: is empty (0 bytes hold no image). Fetch the file again, or drop the sample.", file);
  if (bytes > kMostImageBytes)
    throw DataError("{}: has {} bytes (an image file may have {}). Shrink it, or drop the sample.", file,
                    bytes, kMostImageBytes);
}

std::vector<std::uint8_t> FolderStore::read(const std::string& name) const {
  return with_retries([&] { return read_image_file(folder_ / name); });
}

std::optional<std::uint64_t> FolderStore::size(const std::string& name) const {
  const std::filesystem::path path = folder_ / name;
  return with_retries([&]() -> std::optional<std::uint64_t> {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0)
      return static_cast<std::uint64_t>(S_ISREG(status.st_mode) ? status.st_size : 0);
    if (forbids(errno)) return 0;  // it may be there
    if (is_fault_of_file(errno)) return std::nullopt;
    throw IoError("{}: cannot be looked at ({}).", path.string(), std::strerror(errno));
  });
}

void require_image_folders(const std::vector<ImagePlaces>& sources) {
  for (const ImagePlaces& places : sources) {
    for (const auto& where : places) {
      if (where.empty() || is_pattern(where) || is_tar_file(where)) continue;
      std::error_code failure;
      if (!std::filesystem::is_directory(where, failure))
        throw DataError("{}: is no folder ({}). Check [data] image_folder.", where.string(),
                        failure ? failure.message() : "something else has this name");
    }
  }
}

std::shared_ptr<const ImageStore> open_image_store(const ImagePlaces& places, const ImageCache& cache) {
  std::shared_ptr<const ImageStore> store = open_without_cache(places);
  if (cache.folder.empty()) return store;
  std::string identity;
  for (const auto& place : places) {
    if (!identity.empty()) identity += '\n';
    identity += place.string();
  }
  return std::make_shared<CachedStore>(std::move(store), identity, cache.folder, cache.limit_bytes);
}

ImageStores open_image_stores(const std::vector<ImagePlaces>& sources, const ImageCache& cache) {
  ImageStores stores;
  for (const ImagePlaces& places : sources) {
    const auto same = std::find(sources.begin(), sources.end(), places) - sources.begin();
    const auto opened = static_cast<std::size_t>(same);
    stores.push_back(opened < stores.size() ? stores[opened] : open_image_store(places, cache));
  }
  return stores;
}

}  // namespace vrwkv::data
