// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace vrwkv::kernels {

/// Tokens between two kept states: `shortest` times the least power of two with which bytes(interval) is at
/// most `budget`; when none is, one that keeps a single state of each sequence.
std::int64_t choose_kept_interval(std::int64_t shortest, std::int64_t longest_sequence, std::int64_t budget,
                                  const std::function<std::int64_t(std::int64_t)>& bytes);

}  // namespace vrwkv::kernels
