// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <torch/cuda.h>

#include <cstdlib>

namespace vrwkv::test {

/// A fixture whose tests need a GPU. Where LibTorch sees none they are skipped, with the reason, or, where
/// the environment variable VRWKV_REQUIRE_GPU is set, fail.
template <class Fixture = ::testing::Test>
class OnGpu : public Fixture {
 protected:
  void SetUp() final {
    if (torch::cuda::is_available()) return set_up_on_gpu();
    if (std::getenv("VRWKV_REQUIRE_GPU") != nullptr)
      FAIL() << "LibTorch sees no GPU, but VRWKV_REQUIRE_GPU is set";
    GTEST_SKIP() << "no GPU here";
  }

  virtual void set_up_on_gpu() {}
};

}  // namespace vrwkv::test
