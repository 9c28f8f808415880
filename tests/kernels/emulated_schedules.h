// SPDX-License-Identifier: Apache-2.0
// Runs a kernel in emulation under schedules that a GPU might or might not choose.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "kernels/device/host_fibers.h"

namespace vrwkv::test {

/// Calls check() with what run() returned under the first schedule, and expects the same bits under others.
inline void expect_same_under_every_schedule(
    const std::function<std::vector<at::Tensor>()>& run,
    const std::function<void(const std::vector<at::Tensor>&)>& check) {
  using kernels::device::host::Schedule;
  using kernels::device::host::WarpOrder;
  kernels::device::host::set_schedule({});
  const std::vector<at::Tensor> first = run();
  check(first);
  for (const Schedule& schedule :
       {Schedule{.warps = WarpOrder::kDescending, .reverse_lanes = true},
        Schedule{.warps = WarpOrder::kShuffled, .seed = 1},
        Schedule{.warps = WarpOrder::kShuffled, .reverse_lanes = true, .seed = 2}}) {
    kernels::device::host::set_schedule(schedule);
    const std::vector<at::Tensor> again = run();
    ASSERT_EQ(again.size(), first.size());
    for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(again[i].equal(first[i])) << i;
  }
}

}  // namespace vrwkv::test
