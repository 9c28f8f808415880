// SPDX-License-Identifier: Apache-2.0
// The chunked WKV-7's CUDA source, compiled for the CPU and run under schedules that a GPU might or might not
// choose, against the recurrence in fp64.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/device/host_limits.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/wkv7_chunked_call.h"

namespace vrwkv::kernels {
namespace {

using test::Wkv7Case;
using test::Wkv7Tensors;

constexpr DecayInput kRaw = DecayInput::kRaw, kPreClamped = DecayInput::kPreClamped;
constexpr std::size_t kOfSm80 = 163 * 1024, kOfSm86 = 99 * 1024;  // bytes of shared memory for a block

/// For a test's duration.
class SharedMemoryLimit {
 public:
  explicit SharedMemoryLimit(std::size_t bytes) { device::host::shared_memory_limit() = bytes; }
  SharedMemoryLimit(const SharedMemoryLimit&) = delete;
  SharedMemoryLimit& operator=(const SharedMemoryLimit&) = delete;
  ~SharedMemoryLimit() { device::host::shared_memory_limit() = before_; }

 private:
  std::size_t before_ = device::host::shared_memory_limit();
};

Wkv7Tensors tensors_of(const Wkv7Case& c, std::uint64_t seed) {
  return test::rounded_to_bf16(test::random_wkv7_tensors(c, seed));
}

void expect_near_reference(const std::vector<at::Tensor>& results, const Wkv7Case& c,
                           const Wkv7Tensors& tensors) {
  test::expect_wkv7_chunked_results_near(results, test::wkv7_expected(c, tensors));
}

struct ChunkedCase {
  Wkv7Case of;
  std::int64_t interval;
  std::size_t shared_memory;
};

void PrintTo(const ChunkedCase& c, std::ostream* out) {
  PrintTo(c.of, out);
  *out << "_every" << c.interval << (c.shared_memory == kOfSm86 ? "_small" : "");
}

class Wkv7Chunked : public testing::TestWithParam<ChunkedCase> {};

TEST_P(Wkv7Chunked, MatchesReferenceUnderItsSchedules) {
  const ChunkedCase& c = GetParam();
  const SharedMemoryLimit limit(c.shared_memory);
  const Wkv7Tensors tensors = tensors_of(c.of, /*seed=*/21);
  const auto results = test::same_under_every_schedule(
      c.of.kind, [&] { return test::wkv7_chunked_results(c.of, tensors, {.interval = c.interval}); });
  expect_near_reference(results, c.of, tensors);
}

std::string case_name(const testing::TestParamInfo<ChunkedCase>& info) {
  return testing::PrintToString(info.param);
}

std::vector<ChunkedCase> short_cases(DecayInput decay_input, std::int64_t interval,
                                     std::size_t shared_memory) {
  std::vector<ChunkedCase> cases;
  for (const Wkv7Case& c : test::short_cases(Wkv7Case{1, 1, 1, 64, {0}, true, decay_input}))
    cases.push_back({c, interval, shared_memory});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Raw, Wkv7Chunked, testing::ValuesIn(short_cases(kRaw, 32, kOfSm80)), case_name);
INSTANTIATE_TEST_SUITE_P(PreClamped, Wkv7Chunked, testing::ValuesIn(short_cases(kPreClamped, 16, kOfSm86)),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Intervals, Wkv7Chunked,
                         testing::Values(ChunkedCase{{1, 147, 1, 64, {0}, true}, 32, kOfSm80},
                                         ChunkedCase{{1, 147, 1, 64, {0}, true}, 32, kOfSm86},
                                         ChunkedCase{{1, 150, 1, 64, {0}, true, kRaw}, 64, kOfSm80},
                                         ChunkedCase{{1, 150, 1, 64, {0, 17}, true, kRaw}, 256, kOfSm80},
                                         ChunkedCase{{2, 41, 3, 64, {0, 1, 18}, true}, 32, kOfSm80},
                                         ChunkedCase{{1, 90, 1, 64, {0, 69, 70}, true, kRaw}, 64, kOfSm86}),
                         case_name);

class Wkv7ChunkedLong : public testing::TestWithParam<Wkv7Case> {};

TEST_P(Wkv7ChunkedLong, MatchesReference) {
  const Wkv7Tensors tensors = tensors_of(GetParam(), /*seed=*/22);
  expect_near_reference(test::wkv7_chunked_results(GetParam(), tensors), GetParam(), tensors);
}

INSTANTIATE_TEST_SUITE_P(Raw, Wkv7ChunkedLong,
                         testing::ValuesIn(test::long_cases(Wkv7Case{1, 1, 1, 64, {0}, true, kRaw})),
                         test::wkv7_case_name);
INSTANTIATE_TEST_SUITE_P(PreClamped, Wkv7ChunkedLong,
                         testing::ValuesIn(test::long_cases(Wkv7Case{1, 1, 1, 64, {0}, true, kPreClamped})),
                         test::wkv7_case_name);

/// Inputs that are not those of a model at its start.
class Wkv7ChunkedInputsOf : public testing::TestWithParam<DecayInput> {
 protected:
  Wkv7ChunkedInputsOf() : case_{1, 53, 1, 64, {0}, true, GetParam()}, tensors_(tensors_of(case_, 23)) {}

  void expect_near() { expect_near_reference(test::wkv7_chunked_results(case_, tensors_), case_, tensors_); }

  Wkv7Case case_;
  Wkv7Tensors tensors_;
};

TEST_P(Wkv7ChunkedInputsOf, KeysThatRemoveAll) {
  tensors_.inputs[5] = -tensors_.inputs[4];
  expect_near();
}

TEST_P(Wkv7ChunkedInputsOf, NothingRemoved) {
  tensors_.inputs[5].zero_();
  expect_near();
}

INSTANTIATE_TEST_SUITE_P(Decays, Wkv7ChunkedInputsOf, testing::Values(kPreClamped, kRaw),
                         [](const auto& one) { return one.param == kRaw ? "raw" : "pre_clamped"; });

TEST(Wkv7ChunkedDecays, StayFiniteWhateverTheRawOnesAre) {
  const Wkv7Case c{1, 33, 1, 64, {0}, true, kRaw};
  Wkv7Tensors tensors = tensors_of(c, /*seed=*/24);
  tensors.inputs[1].slice(3, 0, 32).mul_(1e30);
  tensors.inputs[1].slice(3, 0, 8).fill_(std::numeric_limits<float>::infinity());
  for (const at::Tensor& result : test::wkv7_chunked_results(c, tensors)) {
    EXPECT_TRUE(result.isfinite().all().item<bool>());
  }
}

TEST(Wkv7ChunkedDecays, AreTakenAsWhatTheyAreBoundBy) {
  const Wkv7Case c{1, 33, 1, 64, {0}, true, kPreClamped};
  Wkv7Tensors tensors = tensors_of(c, /*seed=*/25);
  const at::Tensor beyond = at::rand(tensors.inputs[1].sizes()) < 0.5;
  Wkv7Tensors bound = tensors;
  bound.inputs[1] = at::where(beyond, std::log(4.0), tensors.inputs[1]);
  tensors.inputs[1] = at::where(beyond, 3.0, tensors.inputs[1]);
  const auto results = test::wkv7_chunked_results(c, tensors);
  auto expected = test::wkv7_expected(c, bound);
  expected[3] = expected[3].masked_fill(beyond, 0.0);
  test::expect_wkv7_chunked_results_near(results, expected);
  EXPECT_EQ(results[3].masked_select(beyond).count_nonzero().item<std::int64_t>(), 0);
}

TEST(Wkv7ChunkedForward, KeepsNothingWhenNothingIsWanted) {
  const Wkv7Case c{1, 40, 1, 64, {0}, true, kRaw};
  const Wkv7Tensors tensors = tensors_of(c, /*seed=*/26);
  const auto kept = test::wkv7_chunked_results(c, tensors);
  const auto not_kept = test::wkv7_chunked_results(c, tensors, {.keeps_states = false});
  EXPECT_TRUE(not_kept[0].equal(kept[0]));
  EXPECT_TRUE(not_kept[1].equal(kept[1]));
}

TEST(Wkv7ChunkedNaN, StaysInItsHeadAndSequenceAndDoesNotReachBackBeyondSixteenTokens) {
  const Wkv7Case c{1, 60, 2, 64, {0, 25}, true, kRaw};
  Wkv7Tensors tensors = tensors_of(c, /*seed=*/27);
  tensors.inputs[2][0][45][1][7] = NAN;  // k of the second sequence's token 20
  const at::Tensor y = test::wkv7_chunked_results(c, tensors)[0];
  EXPECT_TRUE(y.slice(1, 45, 60).select(2, 1).isnan().any(-1).all().item<bool>());
  EXPECT_TRUE(y.select(2, 0).isfinite().all().item<bool>());
  EXPECT_TRUE(y.slice(1, 0, 25 + 16).isfinite().all().item<bool>());
}

TEST(Wkv7ChunkedPieces, CarryTheStateAndItsGradient) {
  const Wkv7Case c{1, 77, 1, 64, {0}, true, kRaw};
  const Wkv7Tensors tensors = tensors_of(c, /*seed=*/28);
  const auto results_of = [](const auto&... of) { return test::wkv7_chunked_results(of...); };
  const auto joined = test::results_in_pieces(results_of, c, tensors);
  test::expect_wkv7_chunked_results_near(joined, results_of(c, tensors));
  expect_near_reference(joined, c, tensors);
}

}  // namespace
}  // namespace vrwkv::kernels
