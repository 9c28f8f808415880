// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <thread>
#include <utility>

#include "common/error.h"

namespace vrwkv {

/// Returns what `work` returns. An IoError is tried again after 0.1 and after 1 second, since it may pass:
/// too many open files, a server of files that comes back. The third one is thrown.
template <class Work>
auto with_retries(Work&& work) {
  for (const auto pause : {std::chrono::milliseconds(100), std::chrono::milliseconds(1000)}) {
    try {
      return work();
    } catch (const IoError&) {
      std::this_thread::sleep_for(pause);
    }
  }
  return work();
}

}  // namespace vrwkv
