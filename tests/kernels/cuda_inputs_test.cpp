// SPDX-License-Identifier: Apache-2.0
// operator_inputs_test.cpp on a GPU.
#include "tests/kernels/operator_checks.h"
#include "tests/support/gpu_test.h"

namespace vrwkv::test {
namespace {

class CudaInputs : public OnGpu<>, public testing::WithParamInterface<OperatorCase> {};

TEST_P(CudaInputs, OfAnotherKindAreRefusedByName) { expect_other_kinds_are_refused(GetParam(), at::kCUDA); }
TEST_P(CudaInputs, OfAnotherSizeAreRefused) { expect_other_sizes_are_refused(GetParam(), at::kCUDA); }
TEST_P(CudaInputs, MayLieInMemoryAsTheyLike) { expect_layouts_do_not_matter(GetParam(), at::kCUDA); }
TEST_P(CudaInputs, MayBeEmptyOrAreRefused) { expect_empty_is_taken_or_refused(GetParam(), at::kCUDA); }
TEST_P(CudaInputs, ThatAreNoNumbersAreSeenInTheResults) { expect_nan_is_seen(GetParam(), at::kCUDA); }

INSTANTIATE_TEST_SUITE_P(Of, CudaInputs, testing::ValuesIn(operator_cases()),
                         [](const auto& one) { return testing::PrintToString(one.param); });

}  // namespace
}  // namespace vrwkv::test
