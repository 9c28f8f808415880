// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/wkv7_cpu_tasks.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/wkv7_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::Wkv7Case;

/// Calls run(task, scratch) for each task alone, in scratch memory full of NaN; heads are in so many parts.
template <class Inputs, class Run>
void for_each_task(const Inputs& in, std::int64_t parts, std::int64_t scratch_floats, const Run& run) {
  const std::int64_t values = in.head_size / parts;
  for (std::int64_t i = 0; i < in.batch * in.sequences * in.heads * parts; ++i) {
    const at::Tensor scratch = at::full({scratch_floats}, NAN);
    const std::int64_t head = i / parts;
    run(cpu::Wkv7Task{.batch = head / (in.heads * in.sequences),
                      .sequence = head / in.heads % in.sequences,
                      .head = head % in.heads,
                      .first_value = i % parts * values,
                      .end_value = (i % parts + 1) * values},
        scratch.template data_ptr<float>());
  }
}

#define VRWKV_BACKEND(set)                                                                      \
  struct set {                                                                                  \
    bool divides = false;                                                                       \
    template <class Inputs, class Outputs>                                                      \
    void forward(const Inputs& in, const Outputs& out, const Wkv7Kept& kept) const {            \
      const std::int64_t floats = cpu::forward_scratch_floats(in.head_size);                    \
      for_each_task(in, parts(in), floats, [&](const cpu::Wkv7Task& task, float* scratch) {     \
        cpu::set::forward_task(in, out, kept, task, scratch);                                   \
      });                                                                                       \
    }                                                                                           \
    template <class Inputs, class Incoming, class Outgoing>                                     \
    void backward(const Inputs& in, const Wkv7Kept& kept, const Incoming& incoming,             \
                  const Outgoing& outgoing) const {                                             \
      const std::int64_t floats = cpu::backward_scratch_floats(in.head_size, kept.interval);    \
      const std::int64_t rows = in.batch * in.tokens * in.heads;                                \
      const at::Tensor memory = at::full({cpu::Wkv7GroupSums::numel(rows, in.head_size)}, NAN); \
      const cpu::Wkv7GroupSums sums{.first = divides ? memory.data_ptr<float>() : nullptr};     \
      for_each_task(in, parts(in), floats, [&](const cpu::Wkv7Task& task, float* scratch) {     \
        cpu::set::backward_task(in, kept, incoming, outgoing, sums, task, scratch);             \
      });                                                                                       \
      if (!divides) return;                                                                     \
      for_each_task(in, 1, floats, [&](const cpu::Wkv7Task& task, float* scratch) {             \
        cpu::set::backward_sums_task(in, kept, outgoing, sums, task, scratch);                  \
      });                                                                                       \
    }                                                                                           \
    template <class Inputs>                                                                     \
    std::int64_t parts(const Inputs& in) const {                                                \
      return divides ? in.head_size / cpu::kWkv7Group : 1;                                      \
    }                                                                                           \
  };

template <class Backend>
void expect_reference() {
  constexpr DecayInput kRaw = DecayInput::kRaw, kPreClamped = DecayInput::kPreClamped;
  for (const Wkv7Case& c :
       {Wkv7Case{1, 35, 2, 64, {0, 18}, true}, Wkv7Case{2, 20, 1, 16, {0}, false},
        Wkv7Case{1, 17, 1, 48, {0, 16}, true}, Wkv7Case{1, 9, 1, 112, {0}, true},
        Wkv7Case{1, 21, 1, 64, {0, 3}, true, kRaw}, Wkv7Case{1, 70, 1, 32, {0, 3}, true, kRaw, at::kBFloat16},
        // Large enough to be written past the caches.
        Wkv7Case{1, 65, 64, 64, {0, 30}, true, kRaw},
        Wkv7Case{2, 33, 64, 64, {0}, true, kPreClamped, at::kBFloat16}}) {
    SCOPED_TRACE(testing::PrintToString(c));
    const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/11);
    const auto expected = test::wkv7_expected(c, tensors);
    for (const std::int64_t interval : {16, 64}) {
      const auto whole = test::wkv7_raw_results(Backend(), c, tensors, interval);
      test::expect_wkv7_results_near(whole, expected);
      const auto divided = test::wkv7_raw_results(Backend{.divides = true}, c, tensors, interval);
      for (std::size_t i = 0; i < whole.size(); ++i)
        EXPECT_TRUE(divided[i].equal(whole[i])) << test::kWkv7ResultNames[i];
    }
  }
}

VRWKV_TEST_INSTRUCTION_SETS(Wkv7InstructionSets)

}  // namespace
}  // namespace vrwkv::kernels
