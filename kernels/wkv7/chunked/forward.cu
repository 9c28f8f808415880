// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/chunked/forward.h"

namespace vrwkv::kernels::cuda {
namespace chunked::wkv7 {

template <DecayInput kDecay>
__global__ void __launch_bounds__(ForwardKernel::Shared::kThreads, 2)
    forward_kernel(const ForwardArguments arguments) {
  const Task task = arguments.segments.states == nullptr
                        ? sequence_task(arguments.in, arguments.kept.interval)
                        : segment_task(arguments.in, arguments.segments.interval, arguments.kept.interval);
  ForwardKernel(arguments, task).run<kDecay>();
}

void launch_forward(const ForwardArguments& arguments, std::int64_t blocks, void* stream) {
  const auto kernel = arguments.in.decay_input == DecayInput::kRaw ? forward_kernel<DecayInput::kRaw>
                                                                   : forward_kernel<DecayInput::kPreClamped>;
  using Shared = ForwardKernel::Shared;
  device::launch(kernel, blocks, Shared::kThreads, sizeof(Shared), stream, arguments);
}

}  // namespace chunked::wkv7

void wkv7_chunked_forward(const Wkv7Inputs<Bf16>& inputs, const Wkv7Outputs<Bf16>& outputs,
                          const Wkv7Kept& kept, void* stream) {
  const std::int64_t blocks = inputs.batch * inputs.sequences * inputs.heads;
  chunked::wkv7::launch_forward({.in = inputs, .out = outputs, .kept = kept, .segments = {}}, blocks, stream);
}

}  // namespace vrwkv::kernels::cuda
