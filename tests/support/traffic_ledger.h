// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/record_function.h>

#include <cstdint>
#include <map>
#include <string>

namespace vrwkv::test {

/// What operators moved and computed, by kind.
struct Traffic {
  std::int64_t bytes = 0;  ///< read and written, each tensor of a call once
  std::int64_t flops = 0;  ///< of matrix products, a multiplication and an addition counting two
  std::int64_t calls = 0;
};

/// While it lives, counts the bytes that every call of an operator on this thread reads and writes,
/// LibTorch's and ours (kernels/record_call.h): the sizes of its tensors, as if no cache outlived a call.
/// Views and fresh memory cost nothing. Calls inside calls of ours are those of their implementation and do
/// not count.
class TrafficLedger {
 public:
  TrafficLedger();
  ~TrafficLedger();
  TrafficLedger(const TrafficLedger&) = delete;
  TrafficLedger& operator=(const TrafficLedger&) = delete;

  /// By name of the operator: "aten::mm", "vrwkv::wkv7".
  const std::map<std::string, Traffic>& by_operator() const { return by_operator_; }
  /// The matrix products: aten::mm, addmm, bmm, and kernels/fp32_product/fp32_product.h. What addmm adds to
  /// is copied first, and that copy is no part of them.
  Traffic matrix_products() const;
  /// The recurrence, forward and backward.
  Traffic recurrence() const;
  /// Everything else.
  Traffic elementwise() const;

 private:
  template <class Includes>
  Traffic sum(const Includes& includes) const;

  at::CallbackHandle callback_;
  std::map<std::string, Traffic> by_operator_;
};

}  // namespace vrwkv::test
