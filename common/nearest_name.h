// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vrwkv {

/// Characters to insert, delete or replace to make one text of the other.
std::size_t edit_distance(std::string_view a, std::string_view b);
/// The name that a misspelt one most likely stands for; "" when none is near.
std::string nearest_name(std::string_view misspelt, const std::vector<std::string>& known);

}  // namespace vrwkv
