// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/bf16.h"

namespace vrwkv::kernels {

/// Of the states kept of one head of one batch row, one before every `interval` tokens of a sequence,
/// sequence s (with its first token at `begin`) has numbers kept_states_before(begin, s, interval) and on: at
/// least as many as it needs, without a table of where each begins.
VRWKV_HOST_DEVICE std::int64_t kept_states_before(std::int64_t begin, std::int64_t sequence,
                                                  std::int64_t interval) {
  return (begin + sequence * (interval - 1)) / interval;
}

/// And how many there are in all.
VRWKV_HOST_DEVICE std::int64_t kept_state_count(std::int64_t tokens, std::int64_t sequences,
                                                std::int64_t interval) {
  return kept_states_before(tokens, sequences, interval);
}

/// Bytes of all states that a call keeps, in elements of `Stored`. Of `in` the sizes count, not the pointers.
template <class Stored, class Inputs>
std::int64_t kept_state_bytes(const Inputs& in, std::int64_t interval) {
  return in.batch * kept_state_count(in.tokens, in.sequences, interval) * in.heads * in.head_size *
         in.head_size * static_cast<std::int64_t>(sizeof(Stored));
}

}  // namespace vrwkv::kernels
