// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv6/chunked/backward_chain.h"
#include "kernels/wkv6/chunked/backward_gradients.h"

namespace vrwkv::kernels::cuda {
namespace chunked::wkv6 {

__global__ void __launch_bounds__(BackwardShared::kThreads, 1)
    backward_kernel(const BackwardArguments arguments) {
  const Task task = sequence_task(arguments.in, kWkv6ChunkedInterval);
  auto& shared = *static_cast<BackwardShared*>(device::shared_memory());
  int warp = device::thread_index() / device::kWarpLanes;
  if (warp < kChainWarps) return BackwardChain(arguments, task, shared, warp).run();
  warp -= kChainWarps;
  if (warp < kGradientWarps) return BackwardGradients(arguments, task, shared, warp).run();
  warp -= kGradientWarps;
  const int head = static_cast<int>(device::block_index() % arguments.in.heads);
  const Preparation<BackwardStage> preparation(arguments.in, arguments.of_outputs.y, task, head);
  Barriers::prepare(shared.stages[warp], warp, task.chunks(), preparation);
}

}  // namespace chunked::wkv6

void wkv6_chunked_backward(const Wkv6Inputs<Bf16>& inputs, const Wkv6OutputGradients<Bf16>& output_gradients,
                           const Wkv6InputGradients<Bf16>& input_gradients, void* stream) {
  using namespace chunked::wkv6;
  const BackwardArguments arguments{
      .in = inputs, .of_outputs = output_gradients, .of_inputs = input_gradients};
  device::launch(backward_kernel, inputs.batch * inputs.sequences * inputs.heads, BackwardShared::kThreads,
                 sizeof(BackwardShared), stream, arguments);
}

}  // namespace vrwkv::kernels::cuda
