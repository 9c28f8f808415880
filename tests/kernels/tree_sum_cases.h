// SPDX-License-Identifier: Apache-2.0
// Trees of additions, and the backends called with pointers as tree_sum.cpp does.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "kernels/tree_sum/tree_sum_backend.h"

namespace vrwkv::test {

struct TreeSumCase {
  std::int64_t count;
  std::vector<kernels::Merge> merges;
  std::int64_t values;
};

inline const TreeSumCase kTreeSumCases[] = {{1, {}, 1},
                                            {129, {{0, 1}}, 2},
                                            {1000, {{0, 1}, {2, 3}, {0, 2}, {0, 4}}, 5},
                                            {2049, {{3, 4}, {2, 3}, {1, 2}, {0, 1}}, 5},
                                            {1023, {{5, 6}, {1, 2}, {0, 1}, {3, 5}, {0, 3}}, 7}};

inline std::vector<at::Tensor> random_values(const TreeSumCase& c) {
  at::manual_seed(c.count);
  std::vector<at::Tensor> values;
  for (std::int64_t i = 0; i < c.values; ++i) values.push_back(at::randn({c.count}) * (i + 1));
  return values;
}

template <class Backend>
at::Tensor tree_sum_result(const Backend& backend, const TreeSumCase& c,
                           const std::vector<at::Tensor>& values) {
  std::vector<const float*> pointers;
  for (const at::Tensor& value : values) pointers.push_back(value.const_data_ptr<float>());
  at::Tensor sum = at::full({c.count}, NAN);
  backend(kernels::TreeSum{.values = pointers.data(),
                           .value_count = c.values,
                           .merges = c.merges.data(),
                           .merge_count = static_cast<std::int64_t>(c.merges.size()),
                           .sum = sum.data_ptr<float>(),
                           .count = c.count});
  return sum;
}

}  // namespace vrwkv::test
