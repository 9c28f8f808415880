// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv/recurrence_kernel.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "common/error.h"

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

}  // namespace
}  // namespace vrwkv::kernels
