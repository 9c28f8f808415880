// SPDX-License-Identifier: Apache-2.0
#include "data/storage/tar_store.h"

#include <algorithm>

#include "common/error.h"
#include "common/file_system.h"
#include "common/with_retries.h"

namespace vrwkv::data {

TarStore::TarStore(std::vector<std::filesystem::path> shards) : shards_(std::move(shards)) {
  // The last shard first, so that of members with one name the last shard's is kept.
  for (std::size_t shard = shards_.size(); shard-- > 0;)
    for (const TarPlace& place : index_tar(shards_[shard]))
      members_.push_back({place, static_cast<std::uint32_t>(shard)});
  std::stable_sort(members_.begin(), members_.end(),
                   [](const Member& a, const Member& b) { return a.place.name < b.place.name; });
  const auto end = std::unique(members_.begin(), members_.end(),
                               [](const Member& a, const Member& b) { return a.place.name == b.place.name; });
  members_.erase(end, members_.end());
}

const TarStore::Member* TarStore::find(const std::string& name) const {
  const NameKey key = key_of(name);
  const auto found =
      std::lower_bound(members_.begin(), members_.end(), key,
                       [](const Member& member, const NameKey& k) { return member.place.name < k; });
  return found != members_.end() && found->place.name == key ? &*found : nullptr;
}

std::vector<std::uint8_t> TarStore::read(const std::string& name) const {
  const Member* member = find(name);
  if (member == nullptr)
    throw DataError(
        "{}: is not among the {} files of {} tar shards. Check the image folder and the sample's file name.",
        name, members(), shards_.size());
  check_image_size(describe(name), member->place.bytes);
  const std::filesystem::path& shard = shards_[member->shard];
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(member->place.bytes));
  const std::size_t filled = with_retries([&] {
    return read_at(open_to_read(shard), shard, member->place.offset,
                   {reinterpret_cast<char*>(bytes.data()), bytes.size()});
  });
  if (filled != bytes.size())
    throw DataError("{}: cannot be read (the tar file ends too early). Check the tar file.", describe(name));
  return bytes;
}

std::optional<std::uint64_t> TarStore::size(const std::string& name) const {
  const Member* member = find(name);
  return member == nullptr ? std::nullopt : std::optional(member->place.bytes);
}

std::string TarStore::describe(const std::string& name) const {
  const Member* member = find(name);
  return member == nullptr ? name : shards_[member->shard].string() + ": " + name;
}

}  // namespace vrwkv::data
