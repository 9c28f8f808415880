// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/for_each_token_range.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate_cpu_range.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/norm_bonus_gate_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::NormBonusGateCase;

#define VRWKV_BACKEND(set)                                                                                   \
  struct set {                                                                                               \
    template <class Inputs, class Element>                                                                   \
    void forward(const Inputs& in, const NormBonusGateMoments& moments, Element* out) const {                \
      cpu::for_each_token_range(in.tokens, [&](const TokenRange& range) {                                    \
        cpu::set::norm_bonus_gate_forward_range(in, moments, out, range);                                    \
      });                                                                                                    \
    }                                                                                                        \
    template <class Inputs, class Gradients>                                                                 \
    void backward(const Inputs& in, const NormBonusGateMoments& moments, const Gradients& gradients) const { \
      cpu::for_each_token_range(in.tokens, [&](const TokenRange& range) {                                    \
        cpu::set::norm_bonus_gate_backward_range(in, moments, gradients, range);                             \
      });                                                                                                    \
    }                                                                                                        \
  };

template <class Backend>
void expect_reference() {
  for (const NormBonusGateCase& c :
       {NormBonusGateCase{35, 2, 64, at::kFloat}, NormBonusGateCase{3, 3, 48, at::kFloat},
        NormBonusGateCase{17, 1, 16, at::kBFloat16}}) {
    SCOPED_TRACE(testing::PrintToString(c));
    const auto tensors = test::random_norm_bonus_gate_tensors(c, /*seed=*/71);
    test::expect_norm_bonus_gate_near(test::norm_bonus_gate_raw_results(Backend(), c, tensors),
                                      test::norm_bonus_gate_results(norm_bonus_gate_reference, tensors));
  }
}

VRWKV_TEST_INSTRUCTION_SETS(NormBonusGateInstructionSets)

}  // namespace
}  // namespace vrwkv::kernels
