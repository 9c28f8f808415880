// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/storage/image_store.h"

namespace vrwkv::data {

/// Several stores as one: a name is that of the first store that has it.
class StoreList final : public ImageStore {
 public:
  explicit StoreList(ImageStores stores) : stores_(std::move(stores)) {}

  std::vector<std::uint8_t> read(const std::string& name) const override;
  std::optional<std::uint64_t> size(const std::string& name) const override;
  std::string describe(const std::string& name) const override;

 private:
  /// Null when no store has it.
  const ImageStore* find(const std::string& name) const;

  ImageStores stores_;
};

}  // namespace vrwkv::data
