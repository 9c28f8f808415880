// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/wkv7_call.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <type_traits>

#include "kernels/activations.h"
#include "kernels/device/current_stream.h"
#include "kernels/record_call.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels {
namespace {

template <class Element>
Wkv7Inputs<Element> inputs_of(const Wkv7Call& call) {
  const at::Tensor& r = call.r();
  const auto pointer = [&](std::size_t i) { return elements<const Element>(call.tensors[i]); };
  return {.batch = r.size(0),
          .tokens = r.size(1),
          .heads = r.size(2),
          .head_size = r.size(3),
          .sequences = call.sequences(),
          .token_bounds = elements<const std::int64_t>(call.bounds()),
          .r = pointer(0),
          .w = pointer(1),
          .k = pointer(2),
          .v = pointer(3),
          .a = pointer(4),
          .b = pointer(5),
          .initial_state = elements<const float>(call.initial_state()),
          .decay_input = call.decay_input};
}

Wkv7Kept kept_of(const Wkv7Call& call, const Wkv7KeptTensors& kept) {
  return {.interval = call.interval,
          .states = elements<std::uint8_t>(kept.states),
          .state_a = elements<float>(kept.state_a)};
}

template <class Element>
void run_forward(const Wkv7Call& call, const Wkv7Outputs<Element>& outputs, const Wkv7Kept& kept) {
  const auto inputs = inputs_of<Element>(call);
  if (call.r().is_cpu()) return cpu::wkv7_forward(inputs, outputs, kept);
  void* const stream = current_stream(call.r().device());
  if constexpr (std::is_same_v<Element, Bf16>)
    if (call.kernel.chunked) return cuda::wkv7_chunked_forward(inputs, outputs, kept, stream);
  cuda::wkv7_forward(inputs, outputs, kept, stream);
}

template <class Element>
void run_backward(const Wkv7Call& call, const Wkv7Kept& kept,
                  const Wkv7OutputGradients<Element>& gradients_in,
                  const Wkv7InputGradients<Element>& gradients_out) {
  const auto inputs = inputs_of<Element>(call);
  if (call.r().is_cpu()) return cpu::wkv7_backward(inputs, kept, gradients_in, gradients_out);
  void* const stream = current_stream(call.r().device());
  const auto workspace = [&](std::int64_t bytes) { return call.empty({bytes}, at::kByte); };
  if constexpr (std::is_same_v<Element, Bf16>) {
    if (call.kernel.chunked) {
      const at::Tensor states = workspace(wkv7_chunked_workspace_bytes(inputs, kept.interval));
      return cuda::wkv7_chunked_backward(inputs, kept, gradients_in, gradients_out,
                                         elements<std::uint8_t>(states), stream);
    }
  }
  const at::Tensor states = workspace(wkv7_workspace_bytes(inputs, kept.interval));
  cuda::wkv7_backward(inputs, kept, gradients_in, gradients_out, elements<std::uint8_t>(states), stream);
}

}  // namespace

std::int64_t wkv7_kept_bytes(const Wkv7Call& call, std::int64_t interval) {
  const auto sizes = inputs_of<Bf16>(call);
  return call.kernel.chunked ? wkv7_chunked_kept_bytes(sizes, interval) : wkv7_kept_bytes(sizes, interval);
}

std::int64_t wkv7_shortest_interval(const Wkv7Call& call) {
  return call.kernel.chunked ? kWkv7ChunkedLongestInterval : kWkv7Chunk;
}

Wkv7KeptTensors wkv7_empty_kept(const Wkv7Call& call) {
  const bool keeps_products = !call.kernel.chunked;
  return {.states = call.empty({wkv7_kept_bytes(call, call.interval)}, at::kByte),
          .state_a = keeps_products ? call.empty(call.r().sizes(), at::kFloat) : at::Tensor()};
}

Wkv7Result wkv7_forward(const Wkv7Call& call, const Wkv7KeptTensors& kept) {
  const at::Tensor& r = call.r();
  const c10::DeviceGuard device(r.device());
  RecordCall record("vrwkv::wkv7", call.tensors);
  Wkv7Result result{.y = call.empty_like_r(), .final_state = call.empty_states()};
  with_element_of(r, [&](auto element) {
    using Element = decltype(element);
    run_forward<Element>(
        call, {.y = elements<Element>(result.y), .final_state = elements<float>(result.final_state)},
        kept_of(call, kept));
  });
  record.set_outputs({result.y, result.final_state, kept.states, kept.state_a});
  return result;
}

std::vector<at::Tensor> wkv7_backward(const Wkv7Call& call, const Wkv7KeptTensors& kept,
                                      const Wkv7IncomingGradients& incoming, bool want_initial_state) {
  const c10::DeviceGuard device(call.r().device());
  std::vector<at::Tensor> read = call.tensors;
  read.insert(read.end(), {kept.states, kept.state_a, incoming.y, incoming.final_state});
  RecordCall record("vrwkv::wkv7_backward", read);
  std::vector<at::Tensor> gradients;
  for (int i = 0; i < 6; ++i) gradients.push_back(call.empty_like_r());
  gradients.push_back(want_initial_state ? call.empty_states() : at::Tensor());
  with_element_of(call.r(), [&](auto element) {
    using Element = decltype(element);
    run_backward<Element>(call, kept_of(call, kept),
                          {.y = elements<const Element>(incoming.y),
                           .final_state = elements<const float>(incoming.final_state)},
                          {.r = elements<Element>(gradients[0]),
                           .w = elements<Element>(gradients[1]),
                           .k = elements<Element>(gradients[2]),
                           .v = elements<Element>(gradients[3]),
                           .a = elements<Element>(gradients[4]),
                           .b = elements<Element>(gradients[5]),
                           .initial_state = elements<float>(gradients[6])});
  });
  record.set_outputs(gradients);
  return gradients;
}

}  // namespace vrwkv::kernels
