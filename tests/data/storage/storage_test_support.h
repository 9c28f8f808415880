// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace vrwkv::test {

inline std::filesystem::path write_file(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

/// Packs all of `folder` with the system's tar. @param format  gnu, ustar or pax.
inline void pack_tar(const std::filesystem::path& tar, const std::filesystem::path& folder,
                     const std::string& format = "pax") {
  const std::string command =
      "tar --format=" + format + " --sort=name -cf '" + tar.string() + "' -C '" + folder.string() + "' .";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

inline std::string text_of(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace vrwkv::test
