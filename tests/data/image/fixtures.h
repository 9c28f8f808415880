// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace vrwkv::test {

/// One line of expected.txt; tools/fixtures/images.py says what it means.
struct Expected {
  std::string file;
  std::int64_t width, height;
  std::uint32_t crc32c;
};

inline std::filesystem::path image_fixtures() { return std::filesystem::path(VRWKV_TEST_FIXTURES) / "image"; }

/// The lines of expected.txt that start with `operation`.
inline std::vector<Expected> read_expected(const std::string& operation) {
  std::vector<Expected> lines;
  std::ifstream stream(image_fixtures() / "expected.txt");
  std::string found;
  Expected line;
  while (stream >> found >> line.file >> line.width >> line.height >> line.crc32c)
    if (found == operation) lines.push_back(line);
  return lines;
}

}  // namespace vrwkv::test
