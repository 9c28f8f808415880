// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace vrwkv {

/// Owns one handle of a C library. `Traits` gives `type`, `null()` and `release(type) noexcept`.
/// Wrappers that hold one need no special members of their own.
template <class Traits>
class UniqueHandle {
 public:
  using type = typename Traits::type;

  UniqueHandle() noexcept = default;
  explicit UniqueHandle(type handle) noexcept : handle_(handle) {}
  UniqueHandle(UniqueHandle&& other) noexcept : handle_(std::exchange(other.handle_, Traits::null())) {}
  UniqueHandle& operator=(UniqueHandle other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~UniqueHandle() {
    if (handle_ != Traits::null()) Traits::release(handle_);
  }

  /// Borrows the handle.
  type get() const noexcept { return handle_; }
  /// Gives the handle up; the caller now owns it.
  type take() noexcept { return std::exchange(handle_, Traits::null()); }
  explicit operator bool() const noexcept { return handle_ != Traits::null(); }

 private:
  type handle_ = Traits::null();
};

}  // namespace vrwkv
