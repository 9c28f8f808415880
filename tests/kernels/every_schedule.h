// SPDX-License-Identifier: Apache-2.0
// A kernel that is right gives the same bits whoever runs first.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <type_traits>

#include "kernels/device/host_fibers.h"
#include "tests/kernels/input_kind.h"

namespace vrwkv::test {

struct NamedSchedule {
  const char* name;
  kernels::device::host::Schedule schedule;
};

/// Adversarial together: each of a Schedule's choices is made both ways, and with different orders of warps.
inline const NamedSchedule kEverySchedule[] = {
    {"warps ascending", {}},
    {"warps descending", {.warps = kernels::device::host::WarpOrder::kDescending, .reverse_blocks = true}},
    {"warps shuffled", {.warps = kernels::device::host::WarpOrder::kShuffled, .seed = 1}},
    {"lanes reversed", {.reverse_lanes = true, .copies_land_at_once = true}},
    {"warps descending, copies at once",
     {.warps = kernels::device::host::WarpOrder::kDescending, .copies_land_at_once = true}},
    {"warps shuffled, lanes reversed",
     {.warps = kernels::device::host::WarpOrder::kShuffled,
      .reverse_lanes = true,
      .reverse_blocks = true,
      .seed = 2}}};

/// Whether two results have the same bits (NaN equals itself): tensors, contiguous memory, or lists of them.
template <class Result>
bool same_bits(const Result& a, const Result& b) {
  if constexpr (requires { a.is_contiguous() && a.nbytes() == 0; }) {
    if (a.defined() != b.defined()) return false;
    if (!a.defined()) return true;
    const auto whole = a.cpu().contiguous(), other = b.cpu().contiguous();
    // What is empty may have no address.
    return whole.sizes() == other.sizes() &&
           (whole.nbytes() == 0 ||
            std::memcmp(whole.const_data_ptr(), other.const_data_ptr(), whole.nbytes()) == 0);
  } else if constexpr (std::is_trivially_copyable_v<typename Result::value_type>) {
    return a.size() == b.size() &&
           (a.empty() ||
            std::memcmp(a.data(), b.data(), a.size() * sizeof(typename Result::value_type)) == 0);
  } else {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!same_bits(a[i], b[i])) return false;
    }
    return true;
  }
}

/// Calls `run` under every schedule and names, one a line, those whose result is not `first`'s bits.
template <class Run, class Result>
std::string schedules_that_differ(const Run& run, const Result& first) {
  std::string names;
  for (const NamedSchedule& named : kEverySchedule) {
    kernels::device::host::set_schedule(named.schedule);
    if (!same_bits(run(), first)) names += std::string(named.name) + "\n";
  }
  kernels::device::host::set_schedule({});
  return names;
}

/// What `run` returns, which must be the same bits under every schedule.
template <class Run>
auto same_under_every_schedule(const Run& run) {
  const auto first = run();
  EXPECT_EQ(schedules_that_differ(run, first), "");
  return first;
}

/// The same for one kind of inputs; what `run` returns for the others. Kernels wait for the same things
/// whatever the values are.
template <class Run>
auto same_under_every_schedule(InputKind kind, const Run& run) {
  return kind == InputKind::kRandom ? same_under_every_schedule(run) : run();
}

}  // namespace vrwkv::test
