// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/wkv/recurrence_check.h"
#include "kernels/wkv7/wkv7_call.h"

namespace vrwkv::kernels {

/// wkv7_forward(). When the call checks itself and `first` is still to be done, some heads are computed again
/// by the fallback and compared.
/// @throws DeviceError when they differ: see check_against_fallback().
Wkv7Result checked_wkv7_forward(const Wkv7Call& call, const Wkv7KeptTensors& kept, FirstComparison& first);

/// The same of wkv7_backward().
std::vector<at::Tensor> checked_wkv7_backward(const Wkv7Call& call, const Wkv7KeptTensors& kept,
                                              const Wkv7IncomingGradients& incoming, bool want_initial_state,
                                              FirstComparison& first);

}  // namespace vrwkv::kernels
