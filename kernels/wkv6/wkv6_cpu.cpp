// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/for_each_task.h"
#include "kernels/wkv6/wkv6_backend.h"
#include "kernels/wkv6/wkv6_cpu_tasks.h"

namespace vrwkv::kernels::cpu {
namespace {

template <class Element>
std::int64_t longest_sequence(const Wkv6Inputs<Element>& in) {
  std::int64_t longest = 0;
  for (std::int64_t s = 0; s < in.sequences; ++s)
    longest = std::max(longest, in.token_bounds[s + 1] - in.token_bounds[s]);
  return longest;
}

/// As many heads a task as share pages well, fewer where threads would wait long for whoever has the last:
/// there should be work for four tasks a thread, each as long as the longest.
template <class Element>
std::int64_t heads_together(const Wkv6Inputs<Element>& in) {
  const std::int64_t tokens = in.batch * in.tokens, longest = longest_sequence(in);
  std::int64_t together = 4;
  while (together > 1 &&
         tokens * ((in.heads + together - 1) / together) < 4 * at::get_num_threads() * longest)
    together /= 2;
  return std::min(together, in.heads);
}

/// Whether pieces are faster than whole sequences. They cost two fifths more, for their scans; but threads
/// wait for whoever has the longest sequence.
template <class Element>
bool takes_pieces(const Wkv6Inputs<Element>& in) {
  const std::int64_t longest = longest_sequence(in);
  return longest > kWkv6Piece && 5 * at::get_num_threads() * longest > 7 * in.batch * in.heads * in.tokens;
}

/// Tasks of so many heads and tokens, those of a sequence one after the other.
template <class Element>
std::vector<Wkv6Task> tasks_of(const Wkv6Inputs<Element>& in, std::int64_t heads, std::int64_t tokens,
                               const float* piece_states) {
  std::vector<Wkv6Task> tasks;
  for (const std::int64_t sequence : longest_first(in.token_bounds, in.sequences)) {
    const std::int64_t end = in.token_bounds[sequence + 1];
    for (std::int64_t batch = 0; batch < in.batch; ++batch)
      for (std::int64_t t = in.token_bounds[sequence]; t < end; t += tokens)
        for (std::int64_t head = 0; head < in.heads; head += heads)
          tasks.push_back({.batch = batch,
                           .sequence = sequence,
                           .first_head = head,
                           .heads = std::min(heads, in.heads - head),
                           .begin = t,
                           .end = std::min(t + tokens, end),
                           .piece_states = piece_states});
  }
  return tasks;
}

template <class Element>
void run_scan(const Wkv6Inputs<Element>& in, const Wkv6Scan<Element>& scan) {
  static const auto run = VRWKV_WIDEST(wkv6_scan_task<Element>);
  const std::vector<Wkv6Task> heads = tasks_of(in, /*heads=*/1, in.tokens, nullptr);
  const std::int64_t parts = in.head_size / kWkv6ScanKeys;
  for_each_task(static_cast<std::int64_t>(heads.size()) * parts, wkv6_scan_scratch_floats(in.head_size),
                [&](std::int64_t number, float* scratch) {
                  run(in, scan, heads[static_cast<std::size_t>(number / parts)],
                      number % parts * kWkv6ScanKeys, scratch);
                });
}

/// Calls run(task, scratch) for every task of a call.
/// @param scan  the one that pieces need, without memory.
template <class Element, class Run>
void for_all_tokens(const Wkv6Inputs<Element>& in, Wkv6Scan<Element> scan,
                    std::int64_t (*scratch_floats)(std::int64_t, std::int64_t), const Run& run) {
  std::int64_t heads = heads_together(in), tokens = in.tokens;
  at::Tensor piece_states;
  if (takes_pieces(in)) {
    piece_states = at::empty({wkv6_piece_state_floats(in)}, at::kFloat);
    scan.piece_states = piece_states.data_ptr<float>();
    run_scan(in, scan);
    heads = 1;
    tokens = kWkv6Piece;
  }
  const std::vector<Wkv6Task> tasks = tasks_of(in, heads, tokens, scan.piece_states);
  for_each_task(
      static_cast<std::int64_t>(tasks.size()), scratch_floats(in.head_size, heads),
      [&](std::int64_t number, float* scratch) { run(tasks[static_cast<std::size_t>(number)], scratch); });
}

}  // namespace

template <class Element>
void wkv6_add_u_parts(const Wkv6Inputs<Element>& in, const float* of_chunks, float* of_sequences) {
  const std::int64_t row = in.heads * in.head_size;
  const std::int64_t chunks = kept_state_count(in.tokens, in.sequences, kWkv6Chunk);
  for (std::int64_t i = 0; i < in.batch * in.sequences; ++i) {
    const std::int64_t s = i % in.sequences, begin = in.token_bounds[s], end = in.token_bounds[s + 1];
    const float* part =
        of_chunks + (i / in.sequences * chunks + kept_states_before(begin, s, kWkv6Chunk)) * row;
    float* const sum = of_sequences + i * row;
    std::fill(sum, sum + row, 0.0F);
    for (std::int64_t t = begin; t < end; t += kWkv6Chunk, part += row)
      for (std::int64_t j = 0; j < row; ++j) sum[j] += part[j];
  }
}

template <class Element>
void wkv6_forward(const Wkv6Inputs<Element>& inputs, const Wkv6Outputs<Element>& outputs) {
  static const auto run = VRWKV_WIDEST(wkv6_forward_task<Element>);
  for_all_tokens(inputs, wkv6_state_scan(inputs), wkv6_forward_scratch_floats,
                 [&](const Wkv6Task& task, float* scratch) { run(inputs, outputs, task, scratch); });
}

template <class Element>
void wkv6_backward(const Wkv6Inputs<Element>& inputs, const Wkv6OutputGradients<Element>& output_gradients,
                   const Wkv6InputGradients<Element>& input_gradients) {
  static const auto run = VRWKV_WIDEST(wkv6_backward_task<Element>);
  const at::Tensor parts = at::empty({wkv6_u_part_floats(inputs)}, at::kFloat);
  float* const u_parts = parts.data_ptr<float>();
  for_all_tokens(inputs, wkv6_gradient_scan(inputs, output_gradients), wkv6_backward_scratch_floats,
                 [&](const Wkv6Task& task, float* scratch) {
                   run(inputs, output_gradients, input_gradients, u_parts, task, scratch);
                 });
  wkv6_add_u_parts(inputs, u_parts, input_gradients.u_parts);
}

#define VRWKV_INSTANTIATE(Element)                                                             \
  template void wkv6_add_u_parts(const Wkv6Inputs<Element>&, const float*, float*);            \
  template void wkv6_forward(const Wkv6Inputs<Element>&, const Wkv6Outputs<Element>&);         \
  template void wkv6_backward(const Wkv6Inputs<Element>&, const Wkv6OutputGradients<Element>&, \
                              const Wkv6InputGradients<Element>&);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu
