// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/wkv/recurrence_check.h"
#include "kernels/wkv6/wkv6_call.h"

namespace vrwkv::kernels {

/// wkv6_forward(). When the call checks itself and `first` is still to be done, some heads are computed again
/// by the fallback and compared.
/// @throws DeviceError when they differ: see check_against_fallback().
Wkv6Result checked_wkv6_forward(const Wkv6Call& call, const at::Tensor& kept_states, FirstComparison& first);

/// The same of wkv6_backward().
std::vector<at::Tensor> checked_wkv6_backward(const Wkv6Call& call, const at::Tensor& kept_states,
                                              const Wkv6IncomingGradients& incoming, bool want_initial_state,
                                              FirstComparison& first);

}  // namespace vrwkv::kernels
