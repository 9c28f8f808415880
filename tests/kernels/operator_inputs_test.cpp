// SPDX-License-Identifier: Apache-2.0
// What every operator does with arguments that are not as it would like them: it says so, or does without. On
// a GPU: cuda_inputs_test.cpp.
#include "tests/kernels/operator_checks.h"

namespace vrwkv::test {
namespace {

class OperatorInputs : public testing::TestWithParam<OperatorCase> {};

TEST_P(OperatorInputs, OfAnotherKindAreRefusedByName) {
  expect_other_kinds_are_refused(GetParam(), at::kCPU);
}
TEST_P(OperatorInputs, OfAnotherSizeAreRefused) { expect_other_sizes_are_refused(GetParam(), at::kCPU); }
TEST_P(OperatorInputs, MayLieInMemoryAsTheyLike) { expect_layouts_do_not_matter(GetParam(), at::kCPU); }
TEST_P(OperatorInputs, MayBeEmptyOrAreRefused) { expect_empty_is_taken_or_refused(GetParam(), at::kCPU); }
TEST_P(OperatorInputs, ThatAreNoNumbersAreSeenInTheResults) { expect_nan_is_seen(GetParam(), at::kCPU); }

INSTANTIATE_TEST_SUITE_P(Of, OperatorInputs, testing::ValuesIn(operator_cases()),
                         [](const auto& one) { return testing::PrintToString(one.param); });

}  // namespace
}  // namespace vrwkv::test
