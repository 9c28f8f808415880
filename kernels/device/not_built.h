// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace vrwkv::kernels {

/// What a build without CUDA has for the kernels of `where`.
[[noreturn]] void throw_cuda_not_built(const char* where);

}  // namespace vrwkv::kernels
