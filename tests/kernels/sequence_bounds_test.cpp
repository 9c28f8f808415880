// SPDX-License-Identifier: Apache-2.0
#include "kernels/sequence_bounds.h"

#include <gtest/gtest.h>

#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

using test::int64_list;

TEST(SequenceBounds, EndWithTheTokens) {
  EXPECT_TRUE(sequence_bounds(int64_list({0, 3}), 7, at::kCPU).equal(int64_list({0, 3, 7})));
}

}  // namespace
}  // namespace vrwkv::kernels
