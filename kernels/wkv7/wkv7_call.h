// SPDX-License-Identifier: Apache-2.0
// The recurrence on tensors, by the kernel that a call names, without autograd.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "kernels/wkv/recurrence_call.h"
#include "kernels/wkv7/wkv7.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels {

/// Its tensors are r, w, k, v, a, b, the initial state and the bounds.
struct Wkv7Call : RecurrenceCall {
  DecayInput decay_input = DecayInput::kPreClamped;
  std::int64_t interval = kWkv7Chunk;  // tokens between two kept states
};

/// What the backward needs of the forward; both undefined: nothing is kept.
struct Wkv7KeptTensors {
  at::Tensor states;
  at::Tensor state_a;  // the chunked kernels need none
};

struct Wkv7IncomingGradients {
  at::Tensor y;
  at::Tensor final_state;  // undefined for zeros
};

/// Bytes of the states that `call` would keep with this interval.
std::int64_t wkv7_kept_bytes(const Wkv7Call& call, std::int64_t interval);
/// The shortest interval of the call's kernel.
std::int64_t wkv7_shortest_interval(const Wkv7Call& call);

/// Room for them.
Wkv7KeptTensors wkv7_empty_kept(const Wkv7Call& call);

/// @param kept  to fill, or with undefined tensors.
Wkv7Result wkv7_forward(const Wkv7Call& call, const Wkv7KeptTensors& kept);

/// Gradients of r, w, k, v, a, b and, when wanted, of the initial state.
std::vector<at::Tensor> wkv7_backward(const Wkv7Call& call, const Wkv7KeptTensors& kept,
                                      const Wkv7IncomingGradients& incoming, bool want_initial_state);

}  // namespace vrwkv::kernels
