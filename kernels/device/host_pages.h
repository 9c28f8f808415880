// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace vrwkv::kernels::device::host {

/// Memory in whole pages, between guards that must not be touched.
class GuardedPages {
 public:
  static constexpr std::size_t kGuardBytes = 64 * 1024;  // on either side: a frame may reach over a page

  /// At least `bytes`, zeros.
  explicit GuardedPages(std::size_t bytes);
  ~GuardedPages();
  GuardedPages(const GuardedPages&) = delete;
  GuardedPages& operator=(const GuardedPages&) = delete;

  unsigned char* begin() const { return begin_; }
  unsigned char* end() const { return begin_ + bytes_; }
  std::size_t bytes() const { return bytes_; }

  /// Whether `address` is in a guard.
  bool guards(const void* address) const;

 private:
  unsigned char* begin_;
  std::size_t bytes_;
};

}  // namespace vrwkv::kernels::device::host
