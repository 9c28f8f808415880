// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <vector>

#if !defined(_OPENMP)
#error "without OpenMP at::parallel_for runs on one thread"
#endif

namespace vrwkv::kernels::cpu {

/// Calls run(task, scratch) for tasks [0, count) on ATen's threads; each takes the next one when it is free.
/// Scratch memory is a thread's own, 64-byte aligned and not initialised.
template <class Run>
void for_each_task(std::int64_t count, std::int64_t scratch_floats, const Run& run) {
  std::atomic<std::int64_t> next{0};
  const std::int64_t threads = std::min<std::int64_t>(count, at::get_num_threads());
  at::parallel_for(0, threads, /*grain_size=*/1, [&](std::int64_t, std::int64_t) {
    const at::Tensor scratch = at::empty({scratch_floats}, at::kFloat);
    for (std::int64_t task = next++; task < count; task = next++) run(task, scratch.data_ptr<float>());
  });
}

/// The numbers of sequences, those with the most tokens first: so threads that take their tasks in this order
/// end at about the same time.
/// @param bounds  sequence s is tokens [bounds[s], bounds[s + 1]).
inline std::vector<std::int64_t> longest_first(const std::int64_t* bounds, std::int64_t sequences) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(sequences));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return bounds[a + 1] - bounds[a] > bounds[b + 1] - bounds[b];
  });
  return order;
}

}  // namespace vrwkv::kernels::cpu
