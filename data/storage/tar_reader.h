// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace vrwkv::data {

/// A plain file in a tar file.
struct TarMember {
  std::string name;  ///< without a leading "./" or "/"
  std::uint64_t offset = 0, bytes = 0;
};

/// Reads up to `count` bytes at `offset` into `to`; fewer where the file ends, and says how many.
using ReadAt = std::function<std::size_t(std::uint64_t offset, std::size_t count, char* to)>;

/// The plain files of a tar file, in its order, as POSIX ustar and pax and as GNU tar write it (long names
/// and sizes). Folders, links and devices are passed over. Reads headers only and holds one name at a time
/// beside the result.
/// @param file   stands for it in messages.
/// @param size   of the whole file; members lie within it.
/// @throws DataError when it is no tar file, damaged, or ends within a member.
std::vector<TarMember> list_tar(const std::string& file, std::uint64_t size, const ReadAt& read_at);

}  // namespace vrwkv::data
