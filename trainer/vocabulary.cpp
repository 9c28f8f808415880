// SPDX-License-Identifier: Apache-2.0
#include "trainer/vocabulary.h"

#include "common/error.h"

namespace vrwkv::trainer {

std::filesystem::path find_vocabulary(const std::filesystem::path& configured) {
  if (!configured.empty()) return configured;
  constexpr const char* kName = "rwkv_vocab_v20230424.txt";
  std::error_code failure;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", failure).parent_path();
  for (const auto& candidate : {folder / kName, folder.parent_path() / "share" / "vrwkv-dist" / kName})
    if (std::filesystem::is_regular_file(candidate, failure)) return candidate;
  throw ConfigError(
      "{}: no {} beside the program (text cannot be turned into tokens). Run tools/setup.sh, or name the "
      "file with --vocabulary or [data] vocabulary.",
      folder.string(), kName);
}

}  // namespace vrwkv::trainer
