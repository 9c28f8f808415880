// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/chunked/backward_chain.h"
#include "kernels/wkv7/chunked/backward_gradients.h"
#include "kernels/wkv7/chunked/forward.h"

namespace vrwkv::kernels::cuda {
namespace chunked::wkv7 {

template <class Shared, DecayInput kDecay>
__global__ void __launch_bounds__(Shared::kThreads, 1) backward_kernel(const BackwardArguments arguments) {
  const Task task = sequence_task(arguments.in, arguments.kept.interval);
  auto& shared = *static_cast<Shared*>(device::shared_memory());
  int warp = device::thread_index() / device::kWarpLanes;
  if (warp < kChainWarps) return BackwardChain<Shared>(arguments, task, shared, warp).run();
  warp -= kChainWarps;
  if (warp < kGradientWarps) {
    return BackwardGradients<Shared, kDecay>(arguments, task, shared, warp).run();
  }
  warp -= kGradientWarps;
  const Preparation<BackwardStage, kDecay> preparation(arguments.in, arguments.of_outputs.y, task);
  Barriers<Shared>::prepare(shared.stages[warp], warp, task.chunks(), preparation);
}

template <class Shared>
void launch_backward(const BackwardArguments& arguments, void* stream) {
  const auto kernel = arguments.in.decay_input == DecayInput::kRaw
                          ? backward_kernel<Shared, DecayInput::kRaw>
                          : backward_kernel<Shared, DecayInput::kPreClamped>;
  device::launch(kernel, arguments.in.batch * arguments.in.sequences * arguments.in.heads, Shared::kThreads,
                 sizeof(Shared), stream, arguments);
}

}  // namespace chunked::wkv7

void wkv7_chunked_backward(const Wkv7Inputs<Bf16>& inputs, const Wkv7Kept& kept,
                           const Wkv7OutputGradients<Bf16>& output_gradients,
                           const Wkv7InputGradients<Bf16>& input_gradients, void* workspace, void* stream) {
  using namespace chunked::wkv7;
  BackwardArguments arguments{
      .in = inputs, .kept = kept, .of_outputs = output_gradients, .of_inputs = input_gradients};
  if (kept.interval > kWkv7ChunkedLongestInterval) {
    // The states between the kept ones, of all segments at once.
    arguments.kept = {.interval = kWkv7ChunkedLongestInterval, .states = workspace, .state_a = nullptr};
    const std::int64_t segments =
        inputs.batch * kept_state_count(inputs.tokens, inputs.sequences, kept.interval) * inputs.heads;
    launch_forward({.in = inputs, .out = {}, .kept = arguments.kept, .segments = kept}, segments, stream);
  }
  if (device::shared_memory_limit() >= sizeof(LargeBackwardShared)) {
    launch_backward<LargeBackwardShared>(arguments, stream);
  } else {
    launch_backward<SmallBackwardShared>(arguments, stream);
  }
}

}  // namespace vrwkv::kernels::cuda
