// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/for_each_token_range.h"
#include "kernels/time_mix_operands/time_mix_operands_cpu_range.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/time_mix_operands_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::TimeMixOperandsCase;

#define VRWKV_BACKEND(set)                                                                      \
  struct set {                                                                                  \
    template <class Inputs, class Outputs>                                                      \
    void forward(const Inputs& in, const Outputs& out) const {                                  \
      cpu::for_each_token_range(in.tokens, [&](const TokenRange& range) {                       \
        cpu::set::time_mix_operands_forward_range(in, out, range);                              \
      });                                                                                       \
    }                                                                                           \
    template <class Inputs, class Incoming, class Outgoing>                                     \
    void backward(const Inputs& in, const Incoming& incoming, const Outgoing& outgoing) const { \
      cpu::for_each_token_range(in.tokens, [&](const TokenRange& range) {                       \
        cpu::set::time_mix_operands_backward_range(in, incoming, outgoing, range);              \
      });                                                                                       \
    }                                                                                           \
  };

template <class Backend>
void expect_reference() {
  for (const TimeMixOperandsCase& c :
       {TimeMixOperandsCase{35, 2, 64, true, at::kFloat}, TimeMixOperandsCase{3, 3, 48, false, at::kFloat},
        TimeMixOperandsCase{17, 1, 16, true, at::kBFloat16}}) {
    SCOPED_TRACE(testing::PrintToString(c));
    const auto tensors = test::random_time_mix_operands_tensors(c, /*seed=*/51);
    test::expect_time_mix_operands_near(test::time_mix_operands_raw_results(Backend(), c, tensors),
                                        test::time_mix_operands_results(time_mix_operands_reference, tensors),
                                        c.mixes_values);
  }
}

VRWKV_TEST_INSTRUCTION_SETS(TimeMixOperandsInstructionSets)

}  // namespace
}  // namespace vrwkv::kernels
