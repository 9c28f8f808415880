// SPDX-License-Identifier: Apache-2.0
#include "trainer/loss_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "trainer/block_schedule.h"

namespace vrwkv::trainer {
namespace {

/// End of each packed sequence, one past its last position.
std::vector<std::int64_t> sequence_ends(const data::MicroBatch& batch) {
  const auto starts = batch.sequence_starts.accessor<std::int64_t, 1>();
  std::vector<std::int64_t> ends;
  for (std::int64_t s = 1; s < starts.size(0); ++s) ends.push_back(starts[s]);
  if (starts.size(0) > 0) ends.push_back(batch.token_ids.numel());
  return ends;
}

}  // namespace

std::int64_t penalty_positions(const data::MicroBatch& batch, L2Wrap l2wrap) {
  switch (l2wrap) {
    case L2Wrap::kOff:
      return 0;
    case L2Wrap::kAll:
      return batch.token_ids.numel();
    case L2Wrap::kSupervised:
      return batch.supervised_tokens();
  }
  return 0;
}

LossRows select_loss_rows(const data::MicroBatch& batch, L2Wrap l2wrap, std::int64_t global_samples) {
  LossRows rows;
  rows.sequence_targets = batch.targets;
  const auto labels = batch.labels.accessor<std::int64_t, 1>();
  std::vector<std::int64_t> positions;
  std::vector<std::int64_t> targets;
  std::vector<float> weights;
  std::int64_t position = 0;
  const auto ends = sequence_ends(batch);
  for (std::size_t sequence = 0; sequence < ends.size(); ++sequence) {
    const auto divisor = static_cast<double>(std::max<std::int64_t>(1, batch.targets[sequence])) *
                         static_cast<double>(global_samples);
    for (; position < ends[sequence]; ++position) {
      const std::int64_t target = position + 1 < ends[sequence] ? labels[position + 1] : data::kIgnoreIndex;
      if (target == data::kIgnoreIndex && l2wrap != L2Wrap::kAll) continue;
      positions.push_back(position);
      targets.push_back(target);
      weights.push_back(static_cast<float>(1.0 / divisor));
      rows.sequences.push_back(static_cast<std::int64_t>(sequence));
    }
  }
  rows.positions = at::tensor(positions, at::kLong);
  rows.targets = at::tensor(targets, at::kLong);
  rows.weights = at::tensor(weights, at::kFloat);
  return rows;
}

void LossRows::add_up(const at::Tensor& losses, std::int64_t global_samples,
                      std::vector<double>& sample_losses, double& loss) const {
  const at::Tensor on_host = losses.cpu();
  const auto values = on_host.accessor<float, 1>();
  for (std::size_t row = 0; row < sequences.size(); ++row)
    sample_losses[static_cast<std::size_t>(sequences[row])] +=
        static_cast<double>(values[static_cast<std::int64_t>(row)]);
  loss = 0;
  for (std::size_t sequence = 0; sequence < sample_losses.size(); ++sequence) {
    sample_losses[sequence] /= static_cast<double>(std::max<std::int64_t>(1, sequence_targets[sequence]));
    loss += sample_losses[sequence];
  }
  loss /= static_cast<double>(global_samples);
}

}  // namespace vrwkv::trainer
