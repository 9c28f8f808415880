// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace vrwkv::kernels {

/// Whether this build has CUDA at all.
bool built_with_cuda();

/// CUDA devices that this process sees; 0 in a build without CUDA.
int cuda_device_count();

/// Makes `index` the device of this thread's work. @throws NotBuiltError in a build without CUDA.
void use_cuda_device(int index);

/// The most bytes that LibTorch's allocator held on `index` since the process started; 0 without CUDA.
std::int64_t peak_cuda_bytes(int index);

}  // namespace vrwkv::kernels
