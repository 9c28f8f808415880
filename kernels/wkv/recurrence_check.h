// SPDX-License-Identifier: Apache-2.0
// The self-check of the recurrences' chunked kernels: no GPU has told all it does to them, so what the first
// forward and the first backward of a process give, of 16 tokens or more, is compared with the fallback's.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <vector>

namespace vrwkv::kernels {

/// How far, as a root of squares and relative, a chunked kernel's results may be from the fallback's: some
/// four times what bf16 operands cost them.
inline constexpr double kRecurrenceCheckTolerance = 2e-2;

/// The comparison of a process's first results. Those that held nothing to compare leave it to the next.
class FirstComparison {
 public:
  /// @param compare  whether there was something to compare; not called again once there was.
  template <class Compare>
  void unless_done(const Compare& compare) {
    if (!done_ && compare()) done_ = true;
  }

 private:
  std::atomic<bool> done_ = false;
};

/// Of a tensor of activations (B, T, H, N), states (B, S, H, N, N) or parameters (H, N) the first and the
/// last head: heads do not depend on each other, and two of them need little memory. What has none, or is
/// undefined, stays as it is.
at::Tensor checked_heads(const at::Tensor& tensor);
std::vector<at::Tensor> checked_heads(const std::vector<at::Tensor>& tensors);

/// Waits for the device.
/// @param names     of the results, for messages.
/// @param fallback  the results for checked_heads() of the inputs. There is nothing to compare where one is
///                  undefined, zero (as all gradients of a block whose output weights begin at zero) or not
///                  finite.
/// @return whether something was compared, and all that are defined are finite.
/// @throws DeviceError "where: name ..." when two are further apart than the tolerance.
bool check_against_fallback(const char* where, const std::vector<const char*>& names,
                            const std::vector<at::Tensor>& chunked, const std::vector<at::Tensor>& fallback);

}  // namespace vrwkv::kernels
