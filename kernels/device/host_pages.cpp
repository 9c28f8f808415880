// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/host_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace vrwkv::kernels::device::host {
namespace {

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

GuardedPages::GuardedPages(std::size_t bytes)
    : bytes_((bytes + page_bytes() - 1) / page_bytes() * page_bytes()) {
  const std::size_t all_bytes = bytes_ + 2 * kGuardBytes;
  void* all = mmap(nullptr, all_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) throw std::bad_alloc();
  begin_ = static_cast<unsigned char*>(all) + kGuardBytes;
  if (bytes_ > 0 && mprotect(begin_, bytes_, PROT_READ | PROT_WRITE) != 0) {
    munmap(all, all_bytes);
    throw std::bad_alloc();
  }
}

GuardedPages::~GuardedPages() { munmap(begin_ - kGuardBytes, bytes_ + 2 * kGuardBytes); }

bool GuardedPages::guards(const void* address) const {
  const auto* byte = static_cast<const unsigned char*>(address);
  return (byte >= begin_ - kGuardBytes && byte < begin_) || (byte >= end() && byte < end() + kGuardBytes);
}

}  // namespace vrwkv::kernels::device::host
