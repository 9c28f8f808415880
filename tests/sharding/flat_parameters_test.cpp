// SPDX-License-Identifier: Apache-2.0
#include "sharding/flat_parameters.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "common/error.h"
#include "sharding/shard_layout.h"

namespace vrwkv::sharding {
namespace {

TEST(FlatParameters, KeepsValuesAndRebindsEveryHandle) {
  const at::Tensor weight = at::rand({3, 7});
  const at::Tensor bias = at::rand({5}).requires_grad_();
  const at::Tensor other_handle = weight;
  const at::Tensor weight_before = weight.clone();
  const at::Tensor bias_before = bias.detach().clone();
  const FlatParameters flat({{"weight", weight}, {"bias", bias}});
  EXPECT_TRUE(weight.equal(weight_before));
  EXPECT_TRUE(bias.detach().equal(bias_before));
  EXPECT_TRUE(bias.requires_grad());
  flat.flat().fill_(2);
  EXPECT_TRUE(other_handle.equal(at::full({3, 7}, 2.0)));
  EXPECT_TRUE(bias.detach().equal(at::full({5}, 2.0)));
}

TEST(FlatParameters, ViewsAreAlignedAndThePaddingIsZero) {
  const FlatParameters flat({{"a", at::ones({3, 7})}, {"b", at::ones({16})}, {"c", at::ones({1})}});
  const auto& entries = flat.entries();
  EXPECT_EQ(entries[0].offset, 0);
  EXPECT_EQ(entries[1].offset, 32);
  EXPECT_EQ(entries[2].offset, 48);
  EXPECT_EQ(flat.numel(), 64);
  EXPECT_EQ(flat.padded_numel(), kShardBlock);
  for (const auto& [name, tensor] : flat.tensors())
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()) % 64, 0U) << name;
  EXPECT_EQ(flat.flat().sum().item<float>(), 21 + 16 + 1);
}

TEST(FlatParameters, OnlyMatricesDecay) {
  const FlatParameters flat({{"matrix", at::ones({3, 7})},
                             {"vector", at::ones({7})},
                             {"row", at::ones({1, 1, 7})},
                             {"kernel", at::ones({4, 1, 3, 3})},
                             {"single", at::ones({1, 1})}});
  std::vector<bool> decays;
  for (const auto& entry : flat.entries()) decays.push_back(entry.decays);
  EXPECT_EQ(decays, (std::vector<bool>{true, false, false, true, false}));
}

TEST(FlatParameters, GradientViewsShareTheFlatTensor) {
  const FlatParameters flat({{"a", at::ones({3, 7})}, {"b", at::ones({2, 2})}});
  const at::Tensor gradient = flat.new_gradient();
  const auto views = flat.views(gradient);
  ASSERT_EQ(views.size(), 2U);
  views[1].fill_(3);
  EXPECT_EQ(gradient.slice(0, 32, 36).sum().item<float>(), 12);
  EXPECT_EQ(gradient.sum().item<float>(), 12);
  EXPECT_THROW(flat.views(at::zeros({10})), ShapeError);
}

TEST(FlatParameters, InBf16AreRoundedMastersWithGradientsInFp32) {
  const at::Tensor matrix = at::randn({3, 7}).requires_grad_(), vector = at::randn({5}).requires_grad_();
  const at::Tensor value = matrix.detach().clone(), kept = vector.detach().clone();
  const FlatParameters flat({{"matrix", matrix}, {"vector", vector}},
                            [](const NamedTensor& parameter) { return parameter.name == "matrix"; });
  EXPECT_TRUE(flat.view(flat.flat(), 0).equal(value));
  EXPECT_EQ(matrix.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(matrix.detach().equal(value.to(at::kBFloat16)));
  EXPECT_TRUE(vector.detach().equal(kept));
  EXPECT_TRUE(flat.entries()[0].in_bf16);
  EXPECT_FALSE(flat.entries()[1].in_bf16);
  flat.rounded().fill_(2);
  EXPECT_TRUE(matrix.detach().equal(at::full({3, 7}, 2.0).to(at::kBFloat16)));
  EXPECT_TRUE(vector.detach().equal(kept));
  const auto gradients =
      torch::autograd::grad({(matrix.to(at::kFloat) * value).sum() + vector.sum()}, {matrix, vector});
  EXPECT_EQ(gradients[0].scalar_type(), at::kFloat);
}

TEST(FlatParameters, RefusesWhatItCannotHold) {
  EXPECT_THROW(FlatParameters({{"a", at::ones({2}, at::kDouble)}}), ShapeError);
  EXPECT_THROW(FlatParameters({{"a", at::ones({})}}), ShapeError);
  EXPECT_THROW(FlatParameters({{"a", at::ones({0, 3})}}), ShapeError);
  EXPECT_THROW(FlatParameters({{"a", at::ones({2})}, {"a", at::ones({2})}}), ShapeError);
  EXPECT_EQ(FlatParameters({}).padded_numel(), 0);
}

TEST(ShardLayout, DealsWholeBlocksEvenlyAndInOrder) {
  for (const std::int64_t numel : {std::int64_t{0}, std::int64_t{1}, 5 * kShardBlock, 7 * kShardBlock + 1}) {
    const std::int64_t padded = ShardLayout(numel, 1).padded_numel();
    for (int world_size = 1; world_size <= 10; ++world_size) {
      const ShardLayout layout(numel, world_size);
      EXPECT_EQ(layout.padded_numel(), padded);
      std::int64_t next = 0;
      for (int rank = 0; rank < world_size; ++rank) {
        EXPECT_EQ(layout.shard_begin(rank), next);
        EXPECT_EQ(layout.shard_end(rank) % kShardBlock, 0);
        EXPECT_LE(layout.shard_numel(rank), layout.largest_shard());
        EXPECT_GE(layout.shard_numel(rank), layout.largest_shard() - kShardBlock);
        next = layout.shard_end(rank);
      }
      EXPECT_EQ(next, padded);
    }
  }
  EXPECT_THROW(ShardLayout(-1, 1), ShapeError);
  EXPECT_THROW(ShardLayout(1, 0), ShapeError);
}

}  // namespace
}  // namespace vrwkv::sharding
