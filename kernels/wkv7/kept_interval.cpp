// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/kept_interval.h"

namespace vrwkv::kernels {

std::int64_t choose_kept_interval(std::int64_t shortest, std::int64_t longest_sequence, std::int64_t budget,
                                  const std::function<std::int64_t(std::int64_t)>& bytes) {
  std::int64_t interval = shortest;
  while (interval < longest_sequence && bytes(interval) > budget) interval *= 2;
  return interval;
}

}  // namespace vrwkv::kernels
