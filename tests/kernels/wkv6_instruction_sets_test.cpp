// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "kernels/wkv6/wkv6_cpu_tasks.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/wkv6_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::Wkv6Case;

/// Tasks of so many heads and tokens, those of a head of a sequence one after the other.
template <class Inputs>
std::vector<cpu::Wkv6Task> tasks_of(const Inputs& in, std::int64_t heads, std::int64_t tokens,
                                    const float* piece_states) {
  std::vector<cpu::Wkv6Task> tasks;
  for (std::int64_t row = 0; row < in.batch * in.sequences * in.heads / heads; ++row) {
    const std::int64_t sequence = row * heads / in.heads % in.sequences;
    const std::int64_t end = in.token_bounds[sequence + 1];
    for (std::int64_t t = in.token_bounds[sequence]; t < end; t += tokens)
      tasks.push_back({.batch = row * heads / in.heads / in.sequences,
                       .sequence = sequence,
                       .first_head = row * heads % in.heads,
                       .heads = heads,
                       .begin = t,
                       .end = std::min(t + tokens, end),
                       .piece_states = piece_states});
  }
  return tasks;
}

/// Calls run(task, scratch) for each task alone, in scratch memory full of NaN.
template <class Run>
void run_each(const std::vector<cpu::Wkv6Task>& tasks, std::int64_t scratch_floats, const Run& run) {
  for (const cpu::Wkv6Task& task : tasks) {
    const at::Tensor scratch = at::full({scratch_floats}, NAN);
    run(task, scratch.template data_ptr<float>());
  }
}

/// The same for all of a call: sequences with all heads together, or pieces, after scans by
/// run_scan(scan, task, first key, scratch).
template <class Element, class RunScan, class Run>
void run_all(const Wkv6Inputs<Element>& in, bool in_pieces, cpu::Wkv6Scan<Element> scan,
             const RunScan& run_scan, std::int64_t (*floats)(std::int64_t, std::int64_t), const Run& run) {
  if (!in_pieces)
    return run_each(tasks_of(in, in.heads, in.tokens, nullptr), floats(in.head_size, in.heads), run);
  const at::Tensor states = at::full({cpu::wkv6_piece_state_floats(in)}, NAN);
  scan.piece_states = states.data_ptr<float>();
  run_each(tasks_of(in, 1, in.tokens, nullptr), cpu::wkv6_scan_scratch_floats(in.head_size),
           [&](const cpu::Wkv6Task& task, float* scratch) {
             for (std::int64_t key = 0; key < in.head_size; key += cpu::kWkv6ScanKeys)
               run_scan(scan, task, key, scratch);
           });
  std::vector<cpu::Wkv6Task> pieces = tasks_of(in, 1, cpu::kWkv6Piece, scan.piece_states);
  // Not in the order of the states: what a piece writes in vain stays there.
  if (!scan.is_backward) std::reverse(pieces.begin(), pieces.end());
  run_each(pieces, floats(in.head_size, 1), run);
}

#define VRWKV_BACKEND(set)                                                                                   \
  struct set {                                                                                               \
    bool in_pieces = false;                                                                                  \
    template <class Inputs, class Outputs>                                                                   \
    void forward(const Inputs& in, const Outputs& out) const {                                               \
      run_all(                                                                                               \
          in, in_pieces, cpu::wkv6_state_scan(in), [&](auto... of) { cpu::set::wkv6_scan_task(in, of...); }, \
          cpu::wkv6_forward_scratch_floats,                                                                  \
          [&](auto... of) { cpu::set::wkv6_forward_task(in, out, of...); });                                 \
    }                                                                                                        \
    template <class Inputs, class Incoming, class Outgoing>                                                  \
    void backward(const Inputs& in, const Incoming& incoming, const Outgoing& outgoing) const {              \
      const at::Tensor u_parts = at::full({cpu::wkv6_u_part_floats(in)}, NAN);                               \
      float* const parts = u_parts.data_ptr<float>();                                                        \
      run_all(                                                                                               \
          in, in_pieces, cpu::wkv6_gradient_scan(in, incoming),                                              \
          [&](auto... of) { cpu::set::wkv6_scan_task(in, of...); }, cpu::wkv6_backward_scratch_floats,       \
          [&](auto... of) { cpu::set::wkv6_backward_task(in, incoming, outgoing, parts, of...); });          \
      cpu::wkv6_add_u_parts(in, parts, outgoing.u_parts);                                                    \
    }                                                                                                        \
  };

template <class Backend>
void expect_reference() {
  for (const Wkv6Case& c :
       {Wkv6Case{1, 35, 2, 64, {0, 18}, true}, Wkv6Case{2, 20, 1, 16, {0}, false},
        Wkv6Case{1, 17, 3, 48, {0, 16}, true}, Wkv6Case{1, 19, 2, 32, {0}, true, at::kBFloat16},
        // Of one piece and of several, with a last one of one token and of many.
        Wkv6Case{2, 278, 2, 64, {0, 64, 193}, true}, Wkv6Case{1, 131, 1, 80, {0, 1}, false},
        Wkv6Case{1, 207, 2, 64, {0}, true, at::kBFloat16}}) {
    SCOPED_TRACE(testing::PrintToString(c));
    const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/91);
    const auto whole = test::wkv6_raw_results(Backend(), c, tensors);
    test::expect_wkv6_results_near(whole, test::wkv6_expected(c, tensors));
    const auto in_pieces = test::wkv6_raw_results(Backend{.in_pieces = true}, c, tensors);
    for (std::size_t i = 0; i < whole.size(); ++i)
      EXPECT_TRUE(in_pieces[i].equal(whole[i])) << test::kWkv6ResultNames[i];
  }
}

VRWKV_TEST_INSTRUCTION_SETS(Wkv6InstructionSets)

}  // namespace
}  // namespace vrwkv::kernels
