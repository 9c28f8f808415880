// SPDX-License-Identifier: Apache-2.0
// The recurrences on CUDA tensors, by whichever kernel computes a case, against their references. Needs a
// GPU; elsewhere the emulation tests stand in.
#include "kernels/wkv6/wkv6_within.h"
#include "tests/kernels/cuda_testing.h"
#include "tests/kernels/wkv6_cases.h"
#include "tests/kernels/wkv7_cases.h"
#include "tests/kernels/wkv7_chunked_call.h"

namespace vrwkv::kernels {
namespace {

using test::move_to_gpu;
using test::Wkv6Case;
using test::Wkv7Case;

constexpr DecayInput kRaw = DecayInput::kRaw, kPreClamped = DecayInput::kPreClamped;

/// The tensors that WKV-6 and WKV-7 have in common.
template <class Tensors>
Tensors on_gpu(Tensors tensors) {
  move_to_gpu(tensors.inputs);
  if (tensors.initial_state.defined()) tensors.initial_state = tensors.initial_state.cuda();
  tensors.gradient_y = tensors.gradient_y.cuda();
  tensors.gradient_final_state = tensors.gradient_final_state.cuda();
  return tensors;
}

std::vector<at::Tensor> wkv7_on_gpu_by(const test::Wkv7Function& function, const Wkv7Case& c,
                                       const test::Wkv7Tensors& tensors) {
  const test::Wkv7Tensors moved = on_gpu(tensors);
  const test::NanFilledFreshMemory fresh;
  return test::on_cpu(test::wkv7_results(function, c, moved));
}

std::vector<at::Tensor> wkv7_on_gpu(const Wkv7Case& c, const test::Wkv7Tensors& tensors) {
  return wkv7_on_gpu_by(wkv7, c, tensors);
}

bool is_chunked(const Wkv7Case& c) {
  return c.type == at::kBFloat16 && c.head_size == 64 && c.decay_input == kRaw;
}

void expect_wkv7_near(const Wkv7Case& c, const std::vector<at::Tensor>& actual,
                      const std::vector<at::Tensor>& expected) {
  if (is_chunked(c)) return test::expect_wkv7_chunked_results_near(actual, expected);
  test::expect_wkv7_results_near(actual, expected);
}

class CudaWkv7 : public test::CudaTest, public testing::WithParamInterface<Wkv7Case> {};

TEST_P(CudaWkv7, MatchesReferenceForwardAndBackward) {
  const Wkv7Case& c = GetParam();
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/23);
  expect_wkv7_near(c, wkv7_on_gpu(c, tensors), test::wkv7_expected(c, tensors));
}

INSTANTIATE_TEST_SUITE_P(Fallback, CudaWkv7,
                         testing::ValuesIn(test::all_cases(Wkv7Case{1, 1, 1, 64, {0}, true, kPreClamped})),
                         test::wkv7_case_name);
INSTANTIATE_TEST_SUITE_P(FallbackInBf16, CudaWkv7,
                         testing::ValuesIn(test::short_cases(Wkv7Case{
                             1, 1, 1, 64, {0}, true, kPreClamped, at::kBFloat16})),
                         test::wkv7_case_name);
INSTANTIATE_TEST_SUITE_P(Chunked, CudaWkv7,
                         testing::ValuesIn(test::all_cases(Wkv7Case{
                             1, 1, 1, 64, {0}, true, kRaw, at::kBFloat16})),
                         test::wkv7_case_name);
INSTANTIATE_TEST_SUITE_P(OtherSizes, CudaWkv7,
                         testing::Values(Wkv7Case{4, 512, 12, 64, {0, 100}, false},   //
                                         Wkv7Case{1, 33, 2, 32, {0, 20}, true},       //
                                         Wkv7Case{1, 18, 1, 64, {0, 1}, true, kRaw},  //
                                         Wkv7Case{1, 18, 1, 128, {0, 3}, true},
                                         Wkv7Case{4, 512, 12, 64, {0, 100}, true, kRaw, at::kBFloat16},
                                         Wkv7Case{1, 18, 1, 32, {0, 3}, true, kRaw, at::kBFloat16}),
                         test::wkv7_case_name);

/// Chunks where nothing but the environment asks for them.
class CudaWkv7AskedForChunks : public test::CudaTest, public testing::WithParamInterface<Wkv7Case> {
 protected:
  CudaWkv7AskedForChunks() { ::setenv("VRWKV_WKV", "chunked", /*overwrite=*/1); }
  ~CudaWkv7AskedForChunks() override { ::unsetenv("VRWKV_WKV"); }
};

TEST_P(CudaWkv7AskedForChunks, MatchesReferenceForwardAndBackward) {
  const Wkv7Case& c = GetParam();
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/24);
  test::expect_wkv7_chunked_results_near(wkv7_on_gpu(c, tensors), test::wkv7_expected(c, tensors));
}

INSTANTIATE_TEST_SUITE_P(PreClamped, CudaWkv7AskedForChunks,
                         testing::ValuesIn(test::all_cases(Wkv7Case{
                             1, 1, 1, 64, {0}, true, kPreClamped, at::kBFloat16})),
                         test::wkv7_case_name);

class CudaWkv7Pieces : public test::CudaTest, public testing::WithParamInterface<Wkv7Case> {};

TEST_P(CudaWkv7Pieces, CarryTheStateAndItsGradient) {
  const Wkv7Case& c = GetParam();
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/28);
  const auto joined = test::results_in_pieces(wkv7_on_gpu, c, tensors);
  expect_wkv7_near(c, joined, wkv7_on_gpu(c, tensors));
  expect_wkv7_near(c, joined, test::wkv7_expected(c, tensors));
}

INSTANTIATE_TEST_SUITE_P(Types, CudaWkv7Pieces,
                         testing::Values(Wkv7Case{1, 77, 2, 64, {0}, true, kRaw},
                                         Wkv7Case{1, 77, 2, 64, {0}, true, kRaw, at::kBFloat16}),
                         test::wkv7_case_name);

class CudaWkv7KeptStates : public test::CudaTest, public testing::WithParamInterface<Wkv7Case> {};

TEST_P(CudaWkv7KeptStates, GiveTheSameHoweverFewAreKept) {
  const Wkv7Case& c = GetParam();
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/30);
  const auto all = wkv7_on_gpu(c, tensors);
  // The fallback's four heads: one state in 32 and 64 tokens, or before each sequence; half of it in chunks.
  for (const std::int64_t bytes : {500'000, 350'000, 0}) {
    SCOPED_TRACE(bytes);
    const auto few = wkv7_on_gpu_by(test::wkv7_keeping(wkv7, bytes), c, tensors);
    expect_wkv7_near(c, few, test::wkv7_expected(c, tensors));
    if (is_chunked(c)) continue;  // the states between are then made again from rounded ones
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(few[i].equal(all[i])) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaWkv7KeptStates,
                         testing::Values(Wkv7Case{2, 150, 2, 64, {0, 17, 20}, true, kRaw},
                                         Wkv7Case{
                                             2, 150, 2, 64, {0, 17, 20}, true, kPreClamped, at::kBFloat16},
                                         Wkv7Case{2, 150, 2, 64, {0, 17, 20}, true, kRaw, at::kBFloat16}),
                         test::wkv7_case_name);

std::vector<at::Tensor> wkv6_on_gpu(const Wkv6Case& c, const test::Wkv6Tensors& tensors) {
  const test::Wkv6Tensors moved = on_gpu(tensors);
  const test::NanFilledFreshMemory fresh;
  return test::on_cpu(test::wkv6_results(wkv6, c, moved));
}

void expect_wkv6_near(const Wkv6Case& c, const std::vector<at::Tensor>& actual,
                      const std::vector<at::Tensor>& expected) {
  const bool chunked = c.type == at::kBFloat16 && c.head_size == 64;
  if (chunked) return test::expect_wkv6_chunked_results_near(actual, expected);
  test::expect_wkv6_results_near(actual, expected);
}

class CudaWkv6 : public test::CudaTest, public testing::WithParamInterface<Wkv6Case> {};

TEST_P(CudaWkv6, MatchesReferenceForwardAndBackward) {
  const Wkv6Case& c = GetParam();
  const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/27);
  expect_wkv6_near(c, wkv6_on_gpu(c, tensors), test::wkv6_expected(c, tensors));
}

INSTANTIATE_TEST_SUITE_P(Fallback, CudaWkv6,
                         testing::ValuesIn(test::all_cases(Wkv6Case{1, 1, 1, 64, {0}, true})),
                         test::wkv6_case_name);
INSTANTIATE_TEST_SUITE_P(Chunked, CudaWkv6,
                         testing::ValuesIn(test::all_cases(Wkv6Case{1, 1, 1, 64, {0}, true, at::kBFloat16})),
                         test::wkv6_case_name);
INSTANTIATE_TEST_SUITE_P(OtherSizes, CudaWkv6,
                         testing::Values(Wkv6Case{1, 18, 1, 128, {0, 3}, true},
                                         Wkv6Case{2, 33, 3, 32, {0, 20}, false, at::kBFloat16},
                                         Wkv6Case{4, 512, 12, 64, {0, 100}, true, at::kBFloat16}),
                         test::wkv6_case_name);

class CudaWkv6Within : public test::CudaTest {};

TEST_F(CudaWkv6Within, ComputesTheSameInSegments) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Wkv6Case c{2, 450, 2, 64, {0, 3, 64, 100, 101, 384}, true, type};
    const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/31);
    const auto in_segments = [](const auto&... arguments) { return wkv6_within(0, arguments...); };
    const auto parts = test::on_cpu(test::wkv6_results(in_segments, c, on_gpu(tensors)));
    expect_wkv6_near(c, parts, test::wkv6_expected(c, tensors));
  }
}

class CudaWkv6Pieces : public test::CudaTest, public testing::WithParamInterface<Wkv6Case> {};

TEST_P(CudaWkv6Pieces, CarryTheStateAndItsGradient) {
  const Wkv6Case& c = GetParam();
  const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/29);
  const auto joined = test::results_in_pieces(wkv6_on_gpu, c, tensors);
  expect_wkv6_near(c, joined, wkv6_on_gpu(c, tensors));
  expect_wkv6_near(c, joined, test::wkv6_expected(c, tensors));
}

INSTANTIATE_TEST_SUITE_P(Types, CudaWkv6Pieces,
                         testing::Values(Wkv6Case{1, 77, 2, 64, {0}, true},
                                         Wkv6Case{1, 77, 2, 64, {0}, true, at::kBFloat16}),
                         test::wkv6_case_name);

}  // namespace
}  // namespace vrwkv::kernels
