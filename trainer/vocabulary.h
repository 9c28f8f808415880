// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace vrwkv::trainer {

/// The World vocabulary: `configured` if not empty, else the one that lies beside the program or, when
/// installed, in
/// ../share/vrwkv-dist. @throws ConfigError when there is none.
std::filesystem::path find_vocabulary(const std::filesystem::path& configured);

}  // namespace vrwkv::trainer
