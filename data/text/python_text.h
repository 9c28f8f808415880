// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

/// What the original's data code does to texts with Python's `str` and `re`, on valid UTF-8.
namespace vrwkv::data {

/// `str.strip()`: drops all Unicode white space at both ends.
std::string_view strip(std::string_view text);

/// `re.sub(r"\n(\s*\n)+", "\n", text)`: lines of nothing but white space disappear.
std::string collapse_blank_lines(std::string_view text);

}  // namespace vrwkv::data
