// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv6/wkv6_call.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <type_traits>

#include "kernels/activations.h"
#include "kernels/argument_checks.h"
#include "kernels/column_sums/column_sums.h"
#include "kernels/device/current_stream.h"
#include "kernels/record_call.h"
#include "kernels/wkv6/wkv6_backend.h"

namespace vrwkv::kernels {
namespace {

template <class Element>
Wkv6Inputs<Element> inputs_of(const Wkv6Call& call) {
  const at::Tensor& r = call.r();
  const auto pointer = [&](std::size_t i) { return elements<const Element>(call.tensors[i]); };
  return {.batch = r.size(0),
          .tokens = r.size(1),
          .heads = r.size(2),
          .head_size = r.size(3),
          .sequences = call.sequences(),
          .token_bounds = elements<const std::int64_t>(call.bounds()),
          .r = pointer(0),
          .k = pointer(1),
          .v = pointer(2),
          .w = pointer(3),
          .u = elements<const float>(call.tensors[4]),
          .initial_state = elements<const float>(call.initial_state())};
}

template <class Element>
void run_forward(const Wkv6Call& call, const Wkv6Outputs<Element>& outputs) {
  const auto inputs = inputs_of<Element>(call);
  if (call.r().is_cpu()) return cpu::wkv6_forward(inputs, outputs);
  void* const stream = current_stream(call.r().device());
  if constexpr (std::is_same_v<Element, Bf16>)
    if (call.kernel.chunked) return cuda::wkv6_chunked_forward(inputs, outputs, stream);
  cuda::wkv6_forward(inputs, outputs, stream);
}

template <class Element>
void run_backward(const Wkv6Call& call, const Wkv6OutputGradients<Element>& gradients_in,
                  const Wkv6InputGradients<Element>& gradients_out) {
  const auto inputs = inputs_of<Element>(call);
  if (call.r().is_cpu()) return cpu::wkv6_backward(inputs, gradients_in, gradients_out);
  void* const stream = current_stream(call.r().device());
  if constexpr (std::is_same_v<Element, Bf16>)
    if (call.kernel.chunked) return cuda::wkv6_chunked_backward(inputs, gradients_in, gradients_out, stream);
  cuda::wkv6_backward(inputs, gradients_in, gradients_out, stream);
}

}  // namespace

Wkv6Call make_wkv6_call(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                        const at::Tensor& u, const at::Tensor& sequence_starts,
                        const at::Tensor& initial_state) {
  const RecurrenceArguments arguments{.where = "wkv6",
                                      .names = {"r", "k", "v", "w"},
                                      .activations = {r, k, v, w},
                                      .others = {u},
                                      .sequence_starts = sequence_starts,
                                      .initial_state = initial_state,
                                      .chunked_fit = ChunkedFit::kBest};
  check_recurrence_arguments(arguments);
  check_float32("wkv6", "u", u, r.device());
  check_shape("wkv6", "u", u, {r.size(2), r.size(3)}, "(H, N)");
  return make_recurrence_call(arguments);
}

at::Tensor wkv6_empty_kept(const Wkv6Call& call) {
  return call.empty({wkv6_kept_bytes_of(call, call.r().size(1))}, at::kByte);
}

std::int64_t wkv6_kept_bytes_of(const Wkv6Call& call, std::int64_t tokens) {
  auto sizes = inputs_of<Bf16>(call);
  sizes.tokens = tokens;
  return call.kernel.chunked ? wkv6_chunked_kept_bytes(sizes) : wkv6_kept_bytes(sizes);
}

Wkv6Result wkv6_forward(const Wkv6Call& call, const at::Tensor& kept_states) {
  const at::Tensor& r = call.r();
  const c10::DeviceGuard device(r.device());
  RecordCall record("vrwkv::wkv6", call.tensors);
  Wkv6Result result{.y = call.empty_like_r(), .final_state = call.empty_states()};
  with_element_of(r, [&](auto element) {
    using Element = decltype(element);
    run_forward<Element>(call, {.y = elements<Element>(result.y),
                                .final_state = elements<float>(result.final_state),
                                .kept_states = elements<std::uint8_t>(kept_states)});
  });
  record.set_outputs({result.y, result.final_state, kept_states});
  return result;
}

std::vector<at::Tensor> wkv6_backward(const Wkv6Call& call, const at::Tensor& kept_states,
                                      const Wkv6IncomingGradients& incoming, bool want_initial_state) {
  const at::Tensor& r = call.r();
  const c10::DeviceGuard device(r.device());
  std::vector<at::Tensor> read = call.tensors;
  read.insert(read.end(), {kept_states, incoming.y, incoming.final_state});
  RecordCall record("vrwkv::wkv6_backward", read);
  std::vector<at::Tensor> gradients;
  for (int i = 0; i < 4; ++i) gradients.push_back(call.empty_like_r());
  const at::Tensor u_parts = call.empty({r.size(0) * call.sequences(), r.size(2), r.size(3)}, at::kFloat);
  const at::Tensor initial_state = want_initial_state ? call.empty_states() : at::Tensor();
  with_element_of(r, [&](auto element) {
    using Element = decltype(element);
    run_backward<Element>(call,
                          {.y = elements<const Element>(incoming.y),
                           .final_state = elements<const float>(incoming.final_state),
                           .kept_states = elements<const std::uint8_t>(kept_states)},
                          {.r = elements<Element>(gradients[0]),
                           .k = elements<Element>(gradients[1]),
                           .v = elements<Element>(gradients[2]),
                           .w = elements<Element>(gradients[3]),
                           .u_parts = elements<float>(u_parts),
                           .initial_state = elements<float>(initial_state)});
  });
  gradients.push_back(column_sums(u_parts));
  gradients.push_back(initial_state);
  record.set_outputs(gradients);
  return gradients;
}

}  // namespace vrwkv::kernels
