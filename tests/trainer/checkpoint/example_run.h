// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sharding/mpi_collectives.h"
#include "sharding/sharded_adamw.h"
#include "trainer/checkpoint/checkpoint.h"

namespace vrwkv::test {

/// Whole numbers that differ by tensor, kind and element: (1000003 * seed + 7 * element) mod 8191 - 4000.
inline at::Tensor counted_values(const std::vector<std::int64_t>& shape, std::int64_t seed) {
  const std::int64_t numel = at::empty(shape, at::kFloat).numel();
  return ((at::arange(numel, at::kLong) * 7 + seed * 1000003) % 8191 - 4000).to(at::kFloat).reshape(shape);
}

/// A small model in training: four trainable tensors over a bit more than two shard blocks, two frozen ones.
class ExampleRun {
 public:
  /// All values follow from `seed`; a run with seed 0 holds zeros.
  ExampleRun(const mpi::Communicator& comm, std::int64_t seed)
      : collectives_(comm),
        parameters({{"rwkv.blocks.0.att.key.weight", values({256, 300}, seed, 1)},
                    {"rwkv.blocks.0.ln1.bias", values({77}, seed, 2)},
                    {"rwkv.blocks.0.att.x_r", values({1, 1, 33}, seed, 3)},
                    {"proj.o_proj.weight", values({200, 311}, seed, 4)}}),
        optimizer(parameters, sharding::ShardLayout(parameters.numel(), comm.size()), collectives_),
        frozen({{"rwkv.emb.weight", values({50, 20}, seed, 5)},
                {"vit.patch.weight", values({4, 3, 2, 2}, seed, 6)}}) {
    optimizer.exp_avg().copy_(shard_of(moment(seed, 10)));
    optimizer.exp_avg_sq().copy_(shard_of(moment(seed, 20)));
  }

  /// A whole moment in flat order; the padding is zero.
  at::Tensor moment(std::int64_t seed, std::int64_t kind) const {
    at::Tensor flat = parameters.new_gradient();
    const auto views = parameters.views(flat);
    for (std::size_t i = 0; i < views.size(); ++i)
      views[i].copy_(values(parameters.entries()[i].shape, seed, kind + static_cast<std::int64_t>(i) + 1));
    return flat;
  }

  checkpoint::TrainingState state(std::int64_t step) const {
    return {.step = step,
            .data_position = step * 8,
            .metrics_rows = step,
            .bad_samples = 0,
            .config_toml = "[train]\nseed = 1\n"};
  }

 private:
  static at::Tensor values(const std::vector<std::int64_t>& shape, std::int64_t seed, std::int64_t kind) {
    return seed == 0 ? at::zeros(shape) : counted_values(shape, seed * 100 + kind);
  }
  at::Tensor shard_of(const at::Tensor& flat) const {
    const auto& layout = optimizer.layout();
    return flat.slice(0, layout.shard_begin(optimizer.rank()), layout.shard_end(optimizer.rank()));
  }

  sharding::MpiCollectives collectives_;

 public:
  sharding::FlatParameters parameters;
  sharding::ShardedAdamw optimizer;
  std::vector<NamedTensor> frozen;
};

/// This rank's shards, the whole parameters and the frozen tensors have the same bits.
inline bool same_bits(const ExampleRun& a, const ExampleRun& b) {
  const auto equal = [](const at::Tensor& x, const at::Tensor& y) {
    return x.view(at::kInt).equal(y.view(at::kInt));
  };
  bool same = equal(a.parameters.flat(), b.parameters.flat()) &&
              equal(a.optimizer.master(), b.optimizer.master()) &&
              equal(a.optimizer.exp_avg(), b.optimizer.exp_avg()) &&
              equal(a.optimizer.exp_avg_sq(), b.optimizer.exp_avg_sq());
  for (std::size_t i = 0; i < a.frozen.size(); ++i)
    same = same && equal(a.frozen[i].tensor, b.frozen[i].tensor);
  return same;
}

}  // namespace vrwkv::test
