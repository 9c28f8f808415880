// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "kernels/wkv7/wkv7_cpu_tasks.h"
#include "tests/kernels/wkv7_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::Wkv7Case;

struct InstructionSet {
  const char* name;
  bool (*available)();
  decltype(&cpu::portable::forward_task) forward;
  decltype(&cpu::portable::backward_task) backward;
};

const InstructionSet kInstructionSets[] = {
    {"portable", [] { return true; }, cpu::portable::forward_task, cpu::portable::backward_task},
#if defined(__x86_64__)
    {"avx2", cpu::has_avx2, cpu::avx2::forward_task, cpu::avx2::backward_task},
    {"avx512", cpu::has_avx512, cpu::avx512::forward_task, cpu::avx512::backward_task},
#endif
};

/// Each task alone, in scratch memory full of NaN.
test::Wkv7Backend backend(const InstructionSet& set) {
  const auto tasks = [](const Wkv7Inputs& in) { return in.batch * in.sequences * in.heads; };
  return {
      .forward =
          [&set, tasks](const Wkv7Inputs& in, const Wkv7Outputs& out, const Wkv7Kept& kept) {
            for (std::int64_t task = 0; task < tasks(in); ++task) {
              const at::Tensor scratch = at::full({cpu::forward_scratch_floats(in.head_size)}, NAN);
              set.forward(in, out, kept, task, scratch.data_ptr<float>());
            }
          },
      .backward =
          [&set, tasks](const Wkv7Inputs& in, const Wkv7Kept& kept, const Wkv7OutputGradients& gradients_in,
                        const Wkv7InputGradients& gradients_out) {
            for (std::int64_t task = 0; task < tasks(in); ++task) {
              const at::Tensor scratch = at::full({cpu::backward_scratch_floats(in.head_size)}, NAN);
              set.backward(in, kept, gradients_in, gradients_out, task, scratch.data_ptr<float>());
            }
          }};
}

class Wkv7InstructionSets : public testing::TestWithParam<InstructionSet> {};

TEST_P(Wkv7InstructionSets, MatchReferenceForwardAndBackward) {
  if (!GetParam().available()) GTEST_SKIP() << "this processor has no " << GetParam().name;
  for (const Wkv7Case& c : {Wkv7Case{1, 35, 2, 64, {0, 18}, true}, Wkv7Case{2, 20, 1, 16, {0}, false},
                            Wkv7Case{1, 17, 1, 48, {0, 16}, true}, Wkv7Case{1, 9, 1, 112, {0}, true},
                            Wkv7Case{1, 21, 1, 64, {0, 3}, true, DecayInput::kRaw}}) {
    SCOPED_TRACE(testing::PrintToString(c));
    const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/11);
    test::expect_wkv7_results_near(test::wkv7_raw_results(backend(GetParam()), c, tensors),
                                   test::wkv7_results(wkv7_reference, c, tensors));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Wkv7InstructionSets, testing::ValuesIn(kInstructionSets),
                         [](const auto& set) { return std::string(set.param.name); });

}  // namespace
}  // namespace vrwkv::kernels
