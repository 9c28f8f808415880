// SPDX-License-Identifier: Apache-2.0
#include "data/image_features.h"

#include <fmt/core.h>

#include <algorithm>

namespace vrwkv::data {

std::vector<std::string> feature_prefixes(const std::vector<ImagePlaces>& image_folders) {
  std::vector<ImagePlaces> distinct;
  std::vector<std::string> prefixes;
  for (const auto& folder : image_folders) {
    const auto found = std::find(distinct.begin(), distinct.end(), folder);
    const auto number = found - distinct.begin();
    if (found == distinct.end()) distinct.push_back(folder);
    prefixes.push_back(number == 0 ? "" : fmt::format("{}:", number));
  }
  return prefixes;
}

}  // namespace vrwkv::data
