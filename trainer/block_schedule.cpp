// SPDX-License-Identifier: Apache-2.0
#include "trainer/block_schedule.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <optional>

#include "kernels/cross_entropy/head_cross_entropy.h"
#include "trainer/loss_rows.h"
#include "trainer/model/layers.h"

namespace vrwkv::trainer {

using torch::autograd::grad;

/// A block's forward as backward finds it: its inputs, and its outputs with their graph unless it is to be
/// recomputed.
struct BlockSchedule::BlockRecord {
  at::Tensor x;
  at::Tensor v_first;  // undefined for block 0
  at::Tensor x_out;
  at::Tensor v_first_out;
};

BlockSchedule::BlockSchedule(const model::VisualRwkv& model, const sharding::FlatParameters& parameters,
                             Options options)
    : model_(model),
      parameters_(parameters),
      options_(std::move(options)),
      layers_(model.config().language_model.n_layer) {
  options_.recompute.resize(static_cast<std::size_t>(layers_), false);
  inputs_ = part_of("proj.", "rwkv.emb.");
  final_norm_ = part_of("rwkv.ln_out.");
  head_ = part_of("rwkv.head.");
  for (std::int64_t layer = 0; layer < layers_; ++layer)
    blocks_.push_back(part_of("rwkv.blocks." + std::to_string(layer) + "."));
  if (inputs_.parameters.empty())
    while (lowest_backward_ < layers_ &&
           blocks_[static_cast<std::size_t>(lowest_backward_)].parameters.empty())
      ++lowest_backward_;
}

BlockSchedule::Part BlockSchedule::part_of(const std::string& prefix, const std::string& or_prefix) const {
  Part part;
  for (std::size_t i = 0; i < parameters_.tensors().size(); ++i) {
    const auto& [name, tensor] = parameters_.tensors()[i];
    if (!name.starts_with(prefix) && (or_prefix.empty() || !name.starts_with(or_prefix))) continue;
    part.parameters.push_back(tensor);
    part.entries.push_back(i);
  }
  return part;
}

void BlockSchedule::store(const Part& part, const std::vector<at::Tensor>& gradients, std::size_t first,
                          const at::Tensor& flat) const {
  for (std::size_t i = 0; i < part.entries.size(); ++i) {
    const at::Tensor& gradient = gradients[first + i];
    if (gradient.defined()) parameters_.view(flat, part.entries[i]).copy_(gradient);
  }
}

std::int64_t BlockSchedule::kept_states_bytes_of_a_block() const {
  const auto first = options_.recompute.begin() + lowest_backward_;
  const std::int64_t recomputed = std::count(first, options_.recompute.end(), true);
  const std::int64_t kept = layers_ - lowest_backward_ - recomputed;
  return options_.kept_states_bytes / std::max<std::int64_t>(1, kept + (recomputed > 0 ? 1 : 0));
}

BlockSchedule::BlockRecord BlockSchedule::forward_block(std::int64_t layer, const at::Tensor& x,
                                                        const at::Tensor& v_first,
                                                        const data::MicroBatch& batch,
                                                        bool with_gradient) const {
  BlockRecord record;
  const at::AutoGradMode mode(with_gradient);
  record.x = x.detach().requires_grad_(with_gradient);
  if (layer > 0) record.v_first = v_first.detach().requires_grad_(with_gradient);
  const auto result = model_.block(layer, record.x, record.v_first, batch.sequence_starts,
                                   /*state=*/nullptr, kept_states_bytes_of_a_block());
  record.x_out = result.x;
  record.v_first_out = result.v_first;
  return record;
}

void BlockSchedule::backward_blocks(std::vector<BlockRecord>& records, at::Tensor d_x,
                                    const at::Tensor& embedded, const data::MicroBatch& batch,
                                    const at::Tensor& gradient) const {
  at::Tensor d_v_first;  // summed over the blocks above, last to first
  for (std::int64_t layer = layers_ - 1; layer >= lowest_backward_; --layer) {
    BlockRecord& record = records[static_cast<std::size_t>(layer)];
    const Part& part = blocks_[static_cast<std::size_t>(layer)];
    if (options_.recompute[static_cast<std::size_t>(layer)])
      record = forward_block(layer, record.x, record.v_first, batch, /*with_gradient=*/true);

    std::vector<at::Tensor> outputs = {record.x_out};
    std::vector<at::Tensor> d_outputs = {d_x};
    if (d_v_first.defined()) {
      outputs.push_back(record.v_first_out);
      d_outputs.push_back(d_v_first);
    }
    std::vector<at::Tensor> inputs = {record.x};
    if (layer > 0) inputs.push_back(record.v_first);
    const std::size_t first_parameter = inputs.size();
    inputs.insert(inputs.end(), part.parameters.begin(), part.parameters.end());

    const auto gradients = grad(outputs, inputs, d_outputs, std::nullopt, /*create_graph=*/false,
                                /*allow_unused=*/true);
    d_x = gradients[0];
    if (layer > 0) d_v_first = gradients[1];
    store(part, gradients, first_parameter, gradient);
    record = BlockRecord();  // nothing of this block is needed any more
  }
  if (embedded.requires_grad())
    store(inputs_,
          grad({embedded}, inputs_.parameters, {d_x}, std::nullopt, /*create_graph=*/false,
               /*allow_unused=*/true),
          0, gradient);
}

at::Tensor BlockSchedule::embed(const data::MicroBatch& batch, bool with_gradient) const {
  at::Tensor features;
  if (batch.features.defined()) {
    features = model::to_device(batch.features, model_.device()).to(model_.compute_type());
  } else if (batch.image_starts.numel() > 0) {
    features = model_.pool_images(model_.encode_images(batch.pixels));
  }
  const at::AutoGradMode mode(with_gradient);
  const at::Tensor embedded = model_.embed(batch.token_ids);
  if (!features.defined()) return embedded;
  return model::VisualRwkv::place_images(embedded, model_.project_images(features), batch.image_starts);
}

at::Tensor BlockSchedule::forward_blocks(const at::Tensor& embedded, const data::MicroBatch& batch,
                                         bool learns, std::vector<BlockRecord>& records) const {
  at::Tensor x = embedded.detach();
  at::Tensor v_first;
  for (std::int64_t layer = 0; layer < layers_; ++layer) {
    const bool recomputed = options_.recompute[static_cast<std::size_t>(layer)];
    const bool keeps_graph = learns && layer >= lowest_backward_ && !recomputed;
    BlockRecord record = forward_block(layer, x, v_first, batch, keeps_graph);
    x = record.x_out.detach();
    if (layer == 0) v_first = record.v_first_out.detach();
    if (learns && recomputed) record.x_out = record.v_first_out = at::Tensor();
    if (learns) records.push_back(std::move(record));
  }
  return x;
}

MicroBatchLoss BlockSchedule::run(const data::MicroBatch& batch, const BatchScale& scale,
                                  const at::Tensor& gradient) const {
  MicroBatchLoss result;
  result.sample_losses.assign(batch.targets.size(), 0.0);
  if (batch.token_ids.numel() == 0) return result;
  const bool learns = gradient.defined();
  const at::AutoGradMode no_graph(false);
  const at::Tensor embedded = embed(batch, learns && !inputs_.parameters.empty());
  std::vector<BlockRecord> records;
  const at::Tensor x = forward_blocks(embedded, batch, learns, records);

  // Final LayerNorm, head and loss, at the positions that need them only.
  const LossRows rows = select_loss_rows(batch, options_.l2wrap, scale.samples);
  at::Tensor normed_input = x.detach().requires_grad_(learns);
  at::Tensor normed;
  {
    const at::AutoGradMode graph(learns);
    normed = model_.final_norm(normed_input).squeeze(0);
  }
  const double penalty =
      scale.penalty_positions > 0 ? 1e-4 / static_cast<double>(scale.penalty_positions) : 0.0;
  const kernels::HeadLoss head = kernels::head_cross_entropy(
      normed.detach(), model::typed_as(model_.head(), normed), rows.targets,
      model::to_device(rows.weights, normed.device()), penalty, learns, learns && !head_.parameters.empty(),
      model::to_device(rows.positions, normed.device()));
  if (options_.keep_hidden) result.hidden = normed.detach();

  if (learns) {
    if (head.d_head.defined()) store(head_, {head.d_head}, 0, gradient);
    std::vector<at::Tensor> inputs = {normed_input};
    inputs.insert(inputs.end(), final_norm_.parameters.begin(), final_norm_.parameters.end());
    const auto top = grad({normed}, inputs, {head.d_hidden});
    store(final_norm_, top, 1, gradient);
    if (lowest_backward_ < layers_) backward_blocks(records, top[0], embedded, batch, gradient);
  }
  // A device is waited for only now that all its work is queued.
  rows.add_up(head.losses, scale.samples, result.sample_losses, result.loss);
  return result;
}

}  // namespace vrwkv::trainer
