// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv/recurrence_kernel.h"

#include <cstdlib>
#include <string_view>

#include "common/error.h"

namespace vrwkv::kernels {

RecurrenceKernel recurrence_kernel(const char* where, ChunkedFit fit) {
  const char* const asked = std::getenv("VRWKV_WKV");
  if (asked == nullptr) {
    const bool chunked = fit == ChunkedFit::kBest;
    return {.chunked = chunked, .self_checks = chunked};
  }
  if (asked == std::string_view("fallback")) return {.chunked = false, .self_checks = false};
  if (asked != std::string_view("chunked")) {
    throw ConfigError(
        "{}: VRWKV_WKV is '{}' but should be 'fallback' or 'chunked'. Or unset it, for the faster that "
        "serves.",
        where, asked);
  }
  if (fit == ChunkedFit::kNone) {
    throw ConfigError(
        "{}: VRWKV_WKV asks for the chunked kernel, but it computes bf16 with heads of 64 channels. Unset "
        "it, or set it to 'fallback'.",
        where);
  }
  return {.chunked = fit != ChunkedFit::kOnCpu, .self_checks = false};
}

}  // namespace vrwkv::kernels
