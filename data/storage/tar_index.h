// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vrwkv::data {

/// Stands for a name: two names with one key do not happen (96 bits, from two functions).
struct NameKey {
  std::uint64_t hash = 0;
  std::uint32_t check = 0;
  auto operator<=>(const NameKey&) const = default;
};
NameKey key_of(std::string_view name);

/// Where a member of a tar file lies.
struct TarPlace {
  NameKey name;
  std::uint64_t offset = 0, bytes = 0;
};

/// The places of all members of a tar file, ordered by name; of two with one name the later one, as unpacking
/// would leave it. They come from the file `TAR.index` beside it when that was made from a tar file of this
/// size and time of change; else from the headers, and the index is written, where the folder can be written.
/// @throws DataError as list_tar() does, or when the tar file cannot be read.
std::vector<TarPlace> index_tar(const std::filesystem::path& tar);

/// An index as a file, and back; nothing when `bytes` is no whole index of such a tar file.
std::string write_tar_index(const std::vector<TarPlace>& places, std::uint64_t tar_bytes,
                            std::int64_t tar_time);
std::optional<std::vector<TarPlace>> parse_tar_index(std::string_view bytes, std::uint64_t tar_bytes,
                                                     std::int64_t tar_time);

}  // namespace vrwkv::data
