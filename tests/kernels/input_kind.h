// SPDX-License-Identifier: Apache-2.0
// The kinds of input that a recurrence is tried with.
#pragma once

namespace vrwkv::test {

enum class InputKind { kRandom, kDecaysAtBound, kDecaysNearOne, kKeysOfOneDirection };

inline constexpr InputKind kEveryInputKind[] = {InputKind::kRandom, InputKind::kDecaysAtBound,
                                                InputKind::kDecaysNearOne, InputKind::kKeysOfOneDirection};

/// As a part of a test's name; nothing for random ones.
inline const char* suffix_of(InputKind kind) {
  switch (kind) {
    case InputKind::kRandom:
      return "";
    case InputKind::kDecaysAtBound:
      return "_at_bound";
    case InputKind::kDecaysNearOne:
      return "_near_one";
    case InputKind::kKeysOfOneDirection:
      return "_one_direction";
  }
  return "_unknown";
}

}  // namespace vrwkv::test
