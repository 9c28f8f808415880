// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/cpu/lanes.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {

inline constexpr std::int64_t kCacheLineBytes = 64;

/// Fetches `count` elements that will soon be read. Inlined always, as the next: GCC takes a function that
/// only prefetches for one without effect, and drops calls of it.
template <class Element>
[[gnu::always_inline]] inline void prefetch(const Element* from, std::int64_t count) {
  const char* bytes = reinterpret_cast<const char*>(from);
  for (std::int64_t i = 0; i < count * static_cast<std::int64_t>(sizeof(Element)); i += kCacheLineBytes)
    __builtin_prefetch(bytes + i, /*write=*/0, /*locality=*/2);
}

/// And what will soon be written.
template <class Element>
[[gnu::always_inline]] inline void prefetch_for_writing(Element* to, std::int64_t count) {
  char* bytes = reinterpret_cast<char*>(to);
  for (std::int64_t i = 0; i < count * static_cast<std::int64_t>(sizeof(Element)); i += kCacheLineBytes)
    __builtin_prefetch(bytes + i, /*write=*/1, /*locality=*/2);
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
