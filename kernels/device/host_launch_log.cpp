// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/host_launch_log.h"

#include <cstdlib>
#include <fstream>
#include <mutex>
#include <set>
#include <utility>

#include "kernels/device/host_kernel_name.h"

namespace vrwkv::kernels::device::host {

void log_launch(const char* source, const void* kernel, std::size_t shared_bytes) {
  static const char* const path = std::getenv("VRWKV_LAUNCH_LOG");
  if (path == nullptr) return;
  static std::mutex mutex;
  static std::set<std::pair<const void*, std::size_t>> known;
  const std::lock_guard lock(mutex);
  if (!known.emplace(kernel, shared_bytes).second) return;
  std::ofstream file(path, known.size() == 1 ? std::ios::trunc : std::ios::app);
  file << source << '\t' << kernel_symbol(kernel) << '\t' << shared_bytes << '\n';
}

}  // namespace vrwkv::kernels::device::host
