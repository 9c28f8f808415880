// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv/recurrence_kernel.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/error.h"
#include "kernels/wkv7/wkv7.h"

namespace vrwkv::kernels {
namespace {

class RecurrenceKernelTest : public testing::Test {
 protected:
  ~RecurrenceKernelTest() override { unsetenv("VRWKV_WKV"); }
  static void ask_for(const char* kernel) { setenv("VRWKV_WKV", kernel, /*overwrite=*/1); }
};

TEST_F(RecurrenceKernelTest, IsTheChunkedOneWhereItFitsBestAndChecksItself) {
  unsetenv("VRWKV_WKV");
  EXPECT_TRUE(recurrence_kernel("wkv6", ChunkedFit::kBest).chunked);
  EXPECT_TRUE(recurrence_kernel("wkv6", ChunkedFit::kBest).self_checks);
  for (const ChunkedFit fit : {ChunkedFit::kPossible, ChunkedFit::kNone}) {
    EXPECT_FALSE(recurrence_kernel("wkv6", fit).chunked);
    EXPECT_FALSE(recurrence_kernel("wkv6", fit).self_checks);
  }
}

TEST_F(RecurrenceKernelTest, IsTheOneThatTheEnvironmentAsksForUnchecked) {
  for (const ChunkedFit fit : {ChunkedFit::kPossible, ChunkedFit::kBest}) {
    ask_for("fallback");
    EXPECT_FALSE(recurrence_kernel("wkv6", fit).chunked);
    ask_for("chunked");
    EXPECT_TRUE(recurrence_kernel("wkv6", fit).chunked);
    EXPECT_FALSE(recurrence_kernel("wkv6", fit).self_checks);
  }
}

TEST_F(RecurrenceKernelTest, IsNeverAnotherThanAskedFor) {
  ask_for("chunked");
  EXPECT_THROW(recurrence_kernel("wkv6", ChunkedFit::kNone), ConfigError);
  ask_for("fast");
  EXPECT_THROW(recurrence_kernel("wkv6", ChunkedFit::kBest), ConfigError);
}

TEST_F(RecurrenceKernelTest, IsTheOnlyOneOfACpuUnlessTheWishIsMisspelt) {
  const at::Tensor x = at::zeros({1, 1, 1, 16}), starts = at::zeros({1}, at::kLong);
  ask_for("chunked");
  EXPECT_NO_THROW(wkv7(x, x, x, x, x, x, starts));
  ask_for("chunkd");
  EXPECT_THROW(wkv7(x, x, x, x, x, x, starts), ConfigError);
}

}  // namespace
}  // namespace vrwkv::kernels
