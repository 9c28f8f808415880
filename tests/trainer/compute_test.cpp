// SPDX-License-Identifier: Apache-2.0
#include "trainer/compute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/error.h"
#include "kernels/fp32_product/bf16_product_cpu.h"

namespace vrwkv::trainer {
namespace {

using ::testing::HasSubstr;

constexpr Machine kLaptop{};
constexpr Machine kLaptopWithCudaBuild{.built_with_cuda = true};
constexpr Machine kServer{.multiplies_bf16 = true};

Machine node(int gpus, int local_rank) {
  return {.built_with_cuda = true, .gpus = gpus, .local_rank = local_rank};
}

std::string refusal(const std::string& device, const std::string& precision, const Machine& machine,
                    bool (*bf16_works)() = bf16_products_work) {
  try {
    choose_compute(device, precision, machine, bf16_works);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(ChooseCompute, AutoIsFp32OnACpuAndBf16OnAGpu) {
  for (const Machine& machine : {kLaptop, kLaptopWithCudaBuild, kServer}) {
    const Compute compute = choose_compute("auto", "auto", machine);
    EXPECT_TRUE(compute.device.is_cpu());
    EXPECT_EQ(compute.type, c10::kFloat);
  }
  const Compute compute = choose_compute("auto", "auto", node(/*gpus=*/8, /*local_rank=*/5));
  EXPECT_EQ(compute.device, c10::Device(c10::kCUDA, 5));
  EXPECT_EQ(compute.type, c10::kBFloat16);
}

TEST(ChooseCompute, DoesAsItIsTold) {
  EXPECT_TRUE(choose_compute("cpu", "auto", node(8, 0)).device.is_cpu());
  EXPECT_EQ(choose_compute("cpu", "fp32", node(8, 0)).type, c10::kFloat);
  EXPECT_EQ(choose_compute("cuda", "fp32", node(8, 1)).type, c10::kFloat);
  EXPECT_EQ(choose_compute("cuda", "bf16", node(8, 1)).type, c10::kBFloat16);
  EXPECT_EQ(choose_compute("cpu", "bf16", kServer, [] { return true; }).type, c10::kBFloat16);
}

TEST(ChooseCompute, ARankTakesItsOwnGpuOrTheOnlyOneItSees) {
  EXPECT_EQ(choose_compute("cuda", "auto", node(4, 3)).device.index(), 3);
  EXPECT_EQ(choose_compute("cuda", "auto", node(1, 3)).device.index(), 0);
}

TEST(ChooseCompute, SaysWhatIsMissing) {
  EXPECT_THAT(refusal("cuda", "auto", kLaptop), HasSubstr("was built without CUDA"));
  EXPECT_THAT(refusal("cuda", "auto", kLaptopWithCudaBuild), HasSubstr("the driver shows no GPU"));
  EXPECT_THAT(refusal("cuda", "auto", node(2, 2)), HasSubstr("rank 2 of this node has none: it has 2"));
  EXPECT_THAT(refusal("auto", "auto", node(2, 2)), HasSubstr("Start one rank a GPU"));
  EXPECT_THAT(refusal("auto", "bf16", kLaptop), HasSubstr("this processor has no instructions"));
  EXPECT_THAT(refusal("cpu", "bf16", node(2, 0)), HasSubstr("this processor has no instructions"));
  EXPECT_THAT(refusal("cpu", "bf16", kServer, [] { return false; }), HasSubstr("Set ONEDNN_MAX_CPU_ISA"));
}

// As far as a processor goes, the environment may say less: oneDNN has no such products then, and a run would
// end in its first step.
TEST(Bf16ProductsWork, IsFalseWhereOneDnnIsToldOfLess) {
  if (!kernels::cpu::multiplies_bf16()) GTEST_SKIP() << "this processor has no products of bf16 numbers";
  EXPECT_EXIT(
      {
        ::setenv("ONEDNN_MAX_CPU_ISA", "AVX2", /*overwrite=*/1);
        std::exit(bf16_products_work() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(PeakMemory, OfACpuIsThatOfTheProcess) { EXPECT_GT(peak_memory_bytes(Compute{}), 1 << 20); }

}  // namespace
}  // namespace vrwkv::trainer
