// SPDX-License-Identifier: Apache-2.0
// The recurrence on tensors, by the kernel that a call names, without autograd.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "kernels/wkv/recurrence_call.h"
#include "kernels/wkv6/wkv6.h"

namespace vrwkv::kernels {

/// Its tensors are r, k, v, w, u, the initial state and the bounds.
using Wkv6Call = RecurrenceCall;

struct Wkv6IncomingGradients {
  at::Tensor y;
  at::Tensor final_state;  // undefined for zeros
};

/// @throws ShapeError, ConfigError as wkv6() does.
Wkv6Call make_wkv6_call(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                        const at::Tensor& u, const at::Tensor& sequence_starts,
                        const at::Tensor& initial_state);

/// Room for the states that the backward needs of the forward.
at::Tensor wkv6_empty_kept(const Wkv6Call& call);
/// Its bytes if the call had so many tokens.
std::int64_t wkv6_kept_bytes_of(const Wkv6Call& call, std::int64_t tokens);

/// @param kept_states  to fill, or undefined.
Wkv6Result wkv6_forward(const Wkv6Call& call, const at::Tensor& kept_states);

/// Gradients of r, k, v, w, u and, when wanted, of the initial state.
std::vector<at::Tensor> wkv6_backward(const Wkv6Call& call, const at::Tensor& kept_states,
                                      const Wkv6IncomingGradients& incoming, bool want_initial_state);

}  // namespace vrwkv::kernels
