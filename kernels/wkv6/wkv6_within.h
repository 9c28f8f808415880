// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/wkv6/wkv6.h"

namespace vrwkv::kernels {

/// wkv6() that holds at most so many bytes of states for the backward, or as few as it can. Where all would
/// be more, the tokens are cut into segments: only the state before each is kept, and the backward computes
/// a segment's forward once more. Everything else is as in wkv6(); last bits may differ from its.
/// @param kept_states_bytes  of the states before segments, and of those that one segment keeps.
Wkv6Result wkv6_within(std::int64_t kept_states_bytes, const at::Tensor& r, const at::Tensor& k,
                       const at::Tensor& v, const at::Tensor& w, const at::Tensor& u,
                       const at::Tensor& sequence_starts, const at::Tensor& initial_state = {});

}  // namespace vrwkv::kernels
