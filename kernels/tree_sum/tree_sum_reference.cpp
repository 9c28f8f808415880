// SPDX-License-Identifier: Apache-2.0
#include "kernels/tree_sum/tree_sum_reference.h"

#include <ATen/ATen.h>

namespace vrwkv::kernels {

at::Tensor tree_sum_reference(const std::vector<at::Tensor>& values, std::span<const Merge> merges) {
  std::vector<at::Tensor> sums;
  for (const at::Tensor& value : values) sums.push_back(value.clone());
  for (const Merge& merge : merges) sums.at(merge.left).add_(sums.at(merge.right));
  return sums.at(0);
}

}  // namespace vrwkv::kernels
