// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

namespace vrwkv::kernels {

/// The stream (a cudaStream_t) that LibTorch's own work on `device` goes to now.
/// @throws NotBuiltError in a build without CUDA.
void* current_stream(c10::Device device);

}  // namespace vrwkv::kernels
