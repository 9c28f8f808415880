// SPDX-License-Identifier: Apache-2.0
#include "bench/trainer/trainer_step.h"

#include <ATen/ATen.h>

#include "sharding/grad_norm.h"

namespace vrwkv::bench {

model::VisualRwkv make_model(const model::ModelConfig& config) {
  model::VisualRwkv model(config, /*seed=*/1);
  at::manual_seed(2);
  for (const auto& [name, tensor] : model.parameters())
    if (!name.starts_with("vit.")) at::Tensor(tensor).add_(at::randn(tensor.sizes()), 0.02);
  return model;
}

TrainerStep::TrainerStep(const model::VisualRwkv& model, const trainer::TrainableParts& parts,
                         const data::MicroBatch& batch, const mpi::Communicator& world)
    : batch_(batch),
      parameters_(parts.trainable(model.parameters()),
                  [&](const NamedTensor& parameter) { return model.rounds(parameter); }),
      layout_(parameters_.numel(), world.size()),
      collectives_(world),
      reducer_(layout_, collectives_, /*micro_batches=*/1),
      optimizer_(parameters_, layout_, collectives_),
      schedule_(model, parameters_, {.recompute = {}, .l2wrap = trainer::L2Wrap::kOff}) {}

StepResult TrainerStep::operator()() {
  StepResult result;
  result.loss = gradients(reducer_.leaf());
  reducer_.finish_leaf();
  const at::Tensor gradient = reducer_.reduce();
  result.grad_norm = sharding::global_grad_norm(gradient, layout_, collectives_);
  const double excess = (result.grad_norm + 1e-6) / kClip;
  optimizer_.step(gradient, excess > 1 ? 1 / excess : 1,
                  {kLearningRate, kBeta1, kBeta2, kEpsilon, /*weight_decay=*/0, ++steps_});
  return result;
}

double TrainerStep::gradients(const at::Tensor& gradient) const {
  const trainer::BatchScale scale = {.samples = batch_.sequence_starts.numel(), .penalty_positions = 0};
  return schedule_.run(batch_, scale, gradient).loss;
}

}  // namespace vrwkv::bench
