// SPDX-License-Identifier: Apache-2.0
#include "kernels/tree_sum/tree_sum.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/DeviceGuard.h>

#include "common/error.h"
#include "kernels/argument_checks.h"
#include "kernels/device/current_stream.h"
#include "kernels/record_call.h"
#include "kernels/tree_sum/addition_order.h"
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

void check_order(const AdditionOrder& order, bool is_cpu) {
  if (order.depth > kMostTreeDepth)
    throw ShapeError("tree_sum: {} sums at once, and {} are the most.", order.depth, kMostTreeDepth);
  if (!is_cpu && order.steps.size() > kMostTreeValues)
    throw ShapeError("tree_sum: {} summands, and a GPU takes {} at most.", order.steps.size(),
                     kMostTreeValues);
}

}  // namespace

void tree_sum(const std::vector<at::Tensor>& values, std::span<const Merge> merges, at::Tensor& sum) {
  check_float32("tree_sum", "sum", sum);
  check_flat("sum", sum, sum);
  for (const at::Tensor& value : values) check_flat("a value", value, sum);
  if (values.empty()) throw ShapeError("tree_sum: there are no values.");
  check_merges(merges, values.size());
  const at::NoGradGuard no_gradients;
  const c10::DeviceGuard device(sum.device());
  RecordCall record("vrwkv::tree_sum", values);
  const AdditionOrder order = addition_order(values.size(), merges);
  check_order(order, sum.is_cpu());
  std::vector<const float*> pointers;
  std::vector<std::uint8_t> additions;
  for (const AdditionOrder::Step& step : order.steps) {
    pointers.push_back(values[step.value].const_data_ptr<float>());
    additions.push_back(static_cast<std::uint8_t>(step.additions));
  }
  const TreeSum call{.values = pointers.data(),
                     .additions = additions.data(),
                     .value_count = static_cast<std::int64_t>(pointers.size()),
                     .depth = static_cast<std::int64_t>(order.depth),
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
