// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/record_function.h>

namespace vrwkv::bench {

/// While it lives, adds up the time of the matrix products that this thread calls (aten::mm, addmm, bmm,
/// their forms that write into a given tensor, and kernels/fp32_product/fp32_product.h); a CPU's backward
/// runs on the thread that asks for it. One at a time on a thread.
class MatrixProductClock {
 public:
  MatrixProductClock();
  ~MatrixProductClock();
  MatrixProductClock(const MatrixProductClock&) = delete;
  MatrixProductClock& operator=(const MatrixProductClock&) = delete;

  double seconds() const;

 private:
  at::CallbackHandle callback_;
};

}  // namespace vrwkv::bench
