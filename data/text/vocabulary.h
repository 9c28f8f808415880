// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vrwkv::data {

/// Reads a World vocabulary: one token a line, "id literal length", where the literal is a Python string or
/// bytes literal and the length counts the bytes of its UTF-8. Lines may end in LF or CRLF.
/// @return the bytes of token i at [i]; empty where an id below `size` has no line.
/// @throws DataError "file: ..." or "file:line: ..." when it cannot be read or a line does not say what it
/// should.
std::vector<std::string> read_vocabulary(const std::filesystem::path& file, std::int64_t size);

}  // namespace vrwkv::data
