// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv6/wkv6_cpu_tasks.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/wkv6_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::Wkv6Case;

/// Calls run(task, scratch) for all heads of each sequence together, in scratch memory full of NaN.
template <class Inputs, class Run>
void for_each_sequence(const Inputs& in, std::int64_t scratch_floats, const Run& run) {
  for (std::int64_t row = 0; row < in.batch * in.sequences; ++row) {
    const at::Tensor scratch = at::full({scratch_floats}, NAN);
    run(
        cpu::Wkv6Task{
            .batch = row / in.sequences, .sequence = row % in.sequences, .first_head = 0, .heads = in.heads},
        scratch.template data_ptr<float>());
  }
}

#define VRWKV_BACKEND(set)                                                                      \
  struct set {                                                                                  \
    template <class Inputs, class Outputs>                                                      \
    void forward(const Inputs& in, const Outputs& out) const {                                  \
      const std::int64_t floats = cpu::wkv6_forward_scratch_floats(in.head_size, in.heads);     \
      for_each_sequence(in, floats, [&](const cpu::Wkv6Task& task, float* scratch) {            \
        cpu::set::wkv6_forward_task(in, out, task, scratch);                                    \
      });                                                                                       \
    }                                                                                           \
    template <class Inputs, class Incoming, class Outgoing>                                     \
    void backward(const Inputs& in, const Incoming& incoming, const Outgoing& outgoing) const { \
      const std::int64_t floats = cpu::wkv6_backward_scratch_floats(in.head_size, in.heads);    \
      for_each_sequence(in, floats, [&](const cpu::Wkv6Task& task, float* scratch) {            \
        cpu::set::wkv6_backward_task(in, incoming, outgoing, task, scratch);                    \
      });                                                                                       \
    }                                                                                           \
  };

template <class Backend>
void expect_reference() {
  for (const Wkv6Case& c :
       {Wkv6Case{1, 35, 2, 64, {0, 18}, true}, Wkv6Case{2, 20, 1, 16, {0}, false},
        Wkv6Case{1, 17, 3, 48, {0, 16}, true}, Wkv6Case{1, 19, 2, 32, {0}, true, at::kBFloat16}}) {
    SCOPED_TRACE(testing::PrintToString(c));
    const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/91);
    test::expect_wkv6_results_near(test::wkv6_raw_results(Backend(), c, tensors),
                                   test::wkv6_expected(c, tensors));
  }
}

VRWKV_TEST_INSTRUCTION_SETS(Wkv6InstructionSets)

}  // namespace
}  // namespace vrwkv::kernels
