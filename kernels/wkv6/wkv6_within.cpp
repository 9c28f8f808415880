// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv6/wkv6_within.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>
#include <vector>

#include "kernels/activations.h"
#include "kernels/sequence_bounds.h"
#include "kernels/wkv6/wkv6_segments.h"
#include "kernels/wkv6/wkv6_self_check.h"

namespace vrwkv::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The forward, segment by segment.
/// @param carried  receives the state before each segment, undefined where none continues a sequence.
Wkv6Result forward_in_segments(const Wkv6Call& call, const std::vector<std::int64_t>& bounds,
                               const std::vector<Wkv6Segment>& segments, variable_list& carried) {
  static FirstComparison of_process;
  Wkv6Result result{.y = call.empty_like_r(), .final_state = call.empty_states()};
  at::Tensor state;
  for (const Wkv6Segment& segment : segments) {
    carried.push_back(segment.continues_one ? state : at::Tensor());
    const Wkv6Result part =
        checked_wkv6_forward(wkv6_part(call, bounds, segment, state), /*kept_states=*/{}, of_process);
    result.y.narrow(1, segment.begin, segment.end - segment.begin).copy_(part.y);
    const std::int64_t ended = segment.sequences - (segment.is_continued ? 1 : 0);
    result.final_state.narrow(1, segment.first_sequence, ended).copy_(part.final_state.narrow(1, 0, ended));
    if (segment.is_continued) state = part.final_state.narrow(1, ended, 1).clone();
  }
  return result;
}

/// The backward, from the last segment to the first.
class BackwardInSegments {
 public:
  BackwardInSegments(const Wkv6Call& call, const std::vector<std::int64_t>& bounds,
                     const Wkv6IncomingGradients& incoming, bool want_initial_state)
      : call_(call), bounds_(bounds), incoming_(incoming), want_initial_state_(want_initial_state) {
    for (int i = 0; i < 4; ++i) gradients_.push_back(call.empty_like_r());
    gradients_.push_back(at::zeros_like(call.tensors[4]));
    gradients_.push_back(want_initial_state ? call.empty_states() : at::Tensor());
  }

  void add(const Wkv6Segment& segment, const at::Tensor& carried) {
    const Wkv6Call part = wkv6_part(call_, bounds_, segment, carried);
    const at::Tensor kept_states = wkv6_empty_kept(part);
    wkv6_forward(part, kept_states);
    const bool wants_initial = want_initial_state_ || segment.continues_one;
    static FirstComparison of_process;
    const variable_list of_part =
        checked_wkv6_backward(part, kept_states, incoming_of(segment), wants_initial, of_process);
    for (std::size_t i = 0; i < 4; ++i)
      gradients_[i].narrow(1, segment.begin, segment.end - segment.begin).copy_(of_part[i]);
    gradients_[4].add_(of_part[4]);
    const std::int64_t before = segment.continues_one ? 1 : 0, begun = segment.sequences - before;
    if (segment.continues_one) carried_gradient_ = of_part[5].narrow(1, 0, 1).clone();
    if (want_initial_state_)
      gradients_[5]
          .narrow(1, segment.first_sequence + before, begun)
          .copy_(of_part[5].narrow(1, before, begun));
  }

  variable_list take() { return std::move(gradients_); }

 private:
  Wkv6IncomingGradients incoming_of(const Wkv6Segment& segment) const {
    Wkv6IncomingGradients part;
    part.y = incoming_.y.narrow(1, segment.begin, segment.end - segment.begin).contiguous();
    if (incoming_.final_state.defined()) {
      part.final_state = incoming_.final_state.narrow(1, segment.first_sequence, segment.sequences).clone();
    } else if (segment.is_continued) {
      const at::Tensor& one = carried_gradient_;
      part.final_state =
          at::zeros({one.size(0), segment.sequences, one.size(2), one.size(3), one.size(4)}, one.options());
    }
    if (segment.is_continued) part.final_state.narrow(1, segment.sequences - 1, 1).copy_(carried_gradient_);
    part.final_state = dense_or_none(part.final_state);
    return part;
  }

  const Wkv6Call& call_;
  const std::vector<std::int64_t>& bounds_;
  const Wkv6IncomingGradients& incoming_;
  const bool want_initial_state_;
  at::Tensor carried_gradient_;  // of the state between the segment and the one behind
  variable_list gradients_;
};

class Wkv6InSegments : public torch::autograd::Function<Wkv6InSegments> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& r, const at::Tensor& k,
                               const at::Tensor& v, const at::Tensor& w, const at::Tensor& u,
                               const std::optional<at::Tensor>& initial_state, const at::Tensor& bounds,
                               RecurrenceKernel kernel, std::vector<std::int64_t> host_bounds,
                               std::int64_t tokens) {
    const Wkv6Call call{.tensors = {r, k, v, w, u, initial_state.value_or(at::Tensor()), bounds},
                        .kernel = kernel};
    variable_list saved = call.tensors;
    const Wkv6Result result =
        forward_in_segments(call, host_bounds, wkv6_segments(host_bounds, tokens), saved);
    context->save_for_backward(saved);
    context->saved_data["chunked"] = kernel.chunked;
    context->saved_data["self_checks"] = kernel.self_checks;
    context->saved_data["bounds"] = std::move(host_bounds);
    context->saved_data["tokens"] = tokens;
    context->set_materialize_grads(false);
    return {result.y, result.final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    const variable_list saved = context->get_saved_variables();
    const Wkv6Call call{.tensors = {saved.begin(), saved.begin() + 7},
                        .kernel = {.chunked = context->saved_data["chunked"].toBool(),
                                   .self_checks = context->saved_data["self_checks"].toBool()}};
    const std::vector<std::int64_t> bounds = context->saved_data["bounds"].toIntVector();
    const auto segments = wkv6_segments(bounds, context->saved_data["tokens"].toInt());
    Wkv6IncomingGradients incoming;
    incoming.y = output_gradients[0].defined() ? dense(output_gradients[0]) : at::zeros_like(call.r());
    incoming.final_state = dense_or_none(output_gradients[1]);
    // An undefined argument has no edge in the graph, and then index 5 is the bounds'.
    BackwardInSegments backward(call, bounds, incoming,
                                call.initial_state().defined() && context->needs_input_grad(5));
    for (std::size_t i = segments.size(); i-- > 0;) backward.add(segments[i], saved[7 + i]);
    variable_list gradients = backward.take();
    gradients.resize(10);  // none for the bounds and what follows them
    return gradients;
  }
};

}  // namespace

Wkv6Result wkv6_within(std::int64_t kept_states_bytes, const at::Tensor& r, const at::Tensor& k,
                       const at::Tensor& v, const at::Tensor& w, const at::Tensor& u,
                       const at::Tensor& sequence_starts, const at::Tensor& initial_state) {
  const Wkv6Call call = make_wkv6_call(r, k, v, w, u, sequence_starts, initial_state);
  const variable_list& x = call.tensors;
  if (!call.differentiates() || wkv6_kept_bytes_of(call, r.size(1)) <= kept_states_bytes)
    return wkv6(x[0], x[1], x[2], x[3], x[4], sequence_starts, x[5]);
  const at::Tensor host_bounds = sequence_bounds(sequence_starts, r.size(1), at::kCPU);
  const auto* first = host_bounds.const_data_ptr<std::int64_t>();
  const variable_list outputs =
      Wkv6InSegments::apply(x[0], x[1], x[2], x[3], x[4], optional_tensor(x[5]), x[6], call.kernel,
                            std::vector<std::int64_t>(first, first + host_bounds.numel()),
                            wkv6_segment_tokens(call, kept_states_bytes));
  return {.y = outputs[0], .final_state = outputs[1]};
}

}  // namespace vrwkv::kernels
