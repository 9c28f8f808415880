// SPDX-License-Identifier: Apache-2.0
#include "kernels/tree_sum/tree_sum.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/DeviceGuard.h>

#include "common/error.h"
#include "kernels/argument_checks.h"
#include "kernels/device/current_stream.h"
#include "kernels/record_call.h"
#include "kernels/tree_sum/tree_sum_backend.h"

namespace vrwkv::kernels {
namespace {

void check_flat(const char* name, const at::Tensor& tensor, const at::Tensor& sum) {
  check_float32("tree_sum", name, tensor, sum.device());
  check_shape("tree_sum", name, tensor, {sum.numel()}, "all are flat and of one length");
  if (!tensor.is_contiguous()) throw ShapeError("tree_sum: {} is not contiguous.", name);
}

void check_merges(std::span<const Merge> merges, std::size_t values) {
  for (const Merge& merge : merges) {
    if (merge.left >= values || merge.right >= values)
      throw ShapeError("tree_sum: value {} += value {}, but there are {}.", merge.left, merge.right, values);
  }
}

}  // namespace

void tree_sum(const std::vector<at::Tensor>& values, std::span<const Merge> merges, at::Tensor& sum) {
  check_flat("sum", sum, sum);
  for (const at::Tensor& value : values) check_flat("a value", value, sum);
  if (values.empty()) throw ShapeError("tree_sum: there are no values.");
  check_merges(merges, values.size());
  const at::NoGradGuard no_gradients;
  const c10::DeviceGuard device(sum.device());
  RecordCall record("vrwkv::tree_sum", values);
  std::vector<const float*> pointers;
  for (const at::Tensor& value : values) pointers.push_back(value.const_data_ptr<float>());
  const TreeSum call{.values = pointers.data(),
                     .value_count = static_cast<std::int64_t>(pointers.size()),
                     .merges = merges.data(),
                     .merge_count = static_cast<std::int64_t>(merges.size()),
                     .sum = sum.data_ptr<float>(),
                     .count = sum.numel()};
  if (sum.is_cpu()) {
    cpu::tree_sum(call);
  } else {
    cuda::tree_sum(call, current_stream(sum.device()));
  }
  record.set_outputs({sum});
}

}  // namespace vrwkv::kernels
