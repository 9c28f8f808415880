// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>

namespace vrwkv::test {

/// Some virtual machines show AMX and do not execute it: a bf16 product of oneDNN's dies there. Before the
/// first one, and where the environment says nothing else.
inline void leave_amx_alone() { ::setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", /*overwrite=*/0); }

}  // namespace vrwkv::test
