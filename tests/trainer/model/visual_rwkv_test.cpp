// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/visual_rwkv.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "common/error.h"

namespace vrwkv::model {
namespace {

ModelConfig small_config() {
  ModelConfig config;
  config.language_model = {.n_layer = 3, .n_embd = 64, .head_size = 32, .vocabulary_size = 50};
  config.vision.siglip = {
      .image_size = 16, .patch_size = 4, .width = 8, .depth = 2, .heads = 2, .mlp_hidden = 16};
  config.vision.tokens_per_image = 4;
  return config;
}

at::Tensor parameter(const VisualRwkv& model, const std::string& name) {
  for (const auto& entry : model.parameters())
    if (entry.name == name) return entry.tensor;
  ADD_FAILURE() << "there is no " << name;
  return {};
}

struct Count {
  std::int64_t tensors = 0;
  std::int64_t elements = 0;
};

Count count(const VisualRwkv& model, const std::string& prefix) {
  Count found;
  for (const auto& [name, tensor] : model.parameters()) {
    if (!name.starts_with(prefix)) continue;
    ++found.tensors;
    found.elements += tensor.numel();
  }
  return found;
}

TEST(Parameters, OfPublishedSizesCountAsPublished) {
  ModelConfig config;
  config.language_model = {.n_layer = 12, .n_embd = 768};
  config.vision = {
      .dinov2 = DinoV2Config{}, .siglip = SiglipConfig{}, .sam = SamConfig{}, .tokens_per_image = 1024};
  const VisualRwkv model = VisualRwkv::uninitialized(config);
  EXPECT_EQ(count(model, "rwkv.").tensors, 399);
  EXPECT_EQ(count(model, "rwkv.").elements, 191'034'624);
  EXPECT_EQ(count(model, "proj.").elements, 12'699'136);
  EXPECT_EQ(count(model, "vit.sam_featurizer.").elements, 89'670'912);
  EXPECT_EQ(count(model, "vit.dino_featurizer.").elements, 304'017'408);
  EXPECT_EQ(count(model, "vit.siglip_featurizer.").elements, 428'565'440);
}

TEST(Parameters, ComeInTheOrderOfTheStateDict) {
  const VisualRwkv model = VisualRwkv::uninitialized(small_config());
  std::vector<std::string> names;
  for (const auto& entry : model.parameters()) names.push_back(entry.name);
  const std::vector<std::string> first = {"rwkv.emb.weight", "rwkv.blocks.0.ln0.weight",
                                          "rwkv.blocks.0.ln0.bias", "rwkv.blocks.0.ln1.weight"};
  EXPECT_TRUE(std::equal(first.begin(), first.end(), names.begin()));
  EXPECT_EQ(names.back(), "proj.ln_v.bias");
  const auto place = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) - names.begin();
  };
  EXPECT_LT(place("rwkv.head.weight"), place("vit.siglip_featurizer.pos_embed"));
  EXPECT_EQ(place("rwkv.blocks.0.att.v0"), std::ssize(names));
  EXPECT_LT(place("rwkv.blocks.1.att.v0"), std::ssize(names));
}

TEST(Initialisation, FollowsTheOriginalsTable) {
  const VisualRwkv model(small_config(), /*seed=*/11);
  const double channels = 64;
  const double p = 0.5;  // layer 1 of 3
  const double q = 2.0 / 3.0;
  const at::Tensor d = at::arange(64, at::kDouble) / channels;
  const auto close = [&](const std::string& name, const at::Tensor& expected) {
    EXPECT_TRUE(at::allclose(parameter(model, "rwkv.blocks.1." + name).flatten().to(at::kDouble), expected,
                             1e-6, 1e-6))
        << name;
  };
  close("att.x_r", 1 - d.pow(0.2 * q));
  close("att.x_w", 1 - d.pow(0.9 * q));
  close("att.x_k", 1 - (d.pow(0.9 * q) + 0.4 * p));
  close("att.x_v", 1 - (d.pow(0.4 * q) + 0.6 * p));
  close("att.x_a", 1 - d.pow(0.9 * q));
  close("att.x_g", 1 - d.pow(0.2 * q));
  close("att.w0", -6.5 + 5 * (at::arange(64, at::kDouble) / 63).pow(0.85 + std::sqrt(p)));
  close("ffn.x_k", 1 - d.pow(std::pow(q, 4)));
  close("att.v0", at::ones({64}, at::kDouble));
  close("att.k_k", at::full({64}, 0.85, at::kDouble));
  for (const char* zero :
       {"att.w1", "att.a1", "att.v1", "att.g1", "att.r_k", "att.output.weight", "ffn.value.weight"})
    EXPECT_EQ(parameter(model, std::string("rwkv.blocks.1.") + zero).abs().max().item<float>(), 0.0F) << zero;
  const at::Tensor w2 = parameter(model, "rwkv.blocks.1.att.w2");
  EXPECT_TRUE(at::allclose(w2.matmul(w2.t()), 0.01 * at::eye(w2.size(0)), 1e-5, 1e-7));
  const auto largest = [&](const std::string& name) {
    return parameter(model, name).abs().max().item<double>();
  };
  const double bound = 0.5 / std::sqrt(channels);
  EXPECT_NEAR(largest("rwkv.blocks.1.att.receptance.weight"), bound, 0.01 * bound);
  EXPECT_NEAR(largest("rwkv.blocks.1.att.key.weight"), 0.1 * bound, 0.001 * bound);
  EXPECT_NEAR(largest("rwkv.emb.weight"), 1e-4, 1e-6);
  EXPECT_NEAR(largest("proj.o_proj.weight"), 1 / std::sqrt(8.0), 0.02);
}

TEST(Initialisation, DependsOnTheSeedAlone) {
  at::manual_seed(1);
  const VisualRwkv one(small_config(), /*seed=*/11);
  at::manual_seed(2);
  const int threads = at::get_num_threads();
  at::set_num_threads(threads + 1);
  const VisualRwkv same(small_config(), /*seed=*/11);
  at::set_num_threads(threads);
  const VisualRwkv other(small_config(), /*seed=*/12);
  ModelConfig deeper_config = small_config();
  deeper_config.vision.siglip->depth = 3;
  const VisualRwkv deeper(deeper_config, /*seed=*/11);
  for (const auto& [name, tensor] : one.parameters()) {
    EXPECT_TRUE(tensor.equal(parameter(same, name))) << name;
    EXPECT_TRUE(tensor.equal(parameter(deeper, name))) << name;
  }
  EXPECT_FALSE(parameter(one, "rwkv.emb.weight").equal(parameter(other, "rwkv.emb.weight")));
  EXPECT_FALSE(
      parameter(one, "rwkv.blocks.1.att.key.weight").equal(parameter(one, "rwkv.blocks.2.att.key.weight")));
}

TEST(Initialisation, MatricesWithMoreRowsThanColumnsHaveOrthogonalColumns) {
  ModelConfig config = small_config();
  config.language_model.decay_rank = 100;
  const VisualRwkv model(config, /*seed=*/11);
  const at::Tensor w2 = parameter(model, "rwkv.blocks.0.att.w2");
  EXPECT_TRUE(at::allclose(w2.t().matmul(w2), 0.01 * 100.0 / 64 * at::eye(64), 1e-5, 1e-7));
}

TEST(Initialisation, RandomEncodersSeeThePicture) {
  ModelConfig config = small_config();
  config.vision.dinov2 = {
      .image_size = 16, .patch_size = 4, .width = 32, .depth = 2, .heads = 2, .mlp_hidden = 64};
  config.vision.sam = {.image_size = 32,
                       .patch_size = 4,
                       .width = 32,
                       .depth = 2,
                       .heads = 2,
                       .mlp_hidden = 64,
                       .window_size = 4,
                       .global_blocks = {1},
                       .neck_width = 8};
  const VisualRwkv model(config, /*seed=*/11);
  std::map<std::int64_t, std::vector<at::Tensor>> pixels;
  for (const std::int64_t size : model.image_sizes())
    for (const int grey : {0, 255}) pixels[size].push_back(at::full({3, size, size}, grey, at::kByte));
  const at::Tensor features = model.encode_images(pixels);
  const at::Tensor apart = (features[0] - features[1]).pow(2).mean(0);
  const at::Tensor size = features.pow(2).mean(at::IntArrayRef({0, 1}));
  EXPECT_GT((apart / size).min().item<float>(), 1e-3F);
  EXPECT_GT(size.mean().item<float>(), 0.3F);
  EXPECT_LT(size.mean().item<float>(), 30.0F);
}

TEST(Parameters, ReboundTensorsAreSeenByTheModel) {
  const VisualRwkv model(small_config(), /*seed=*/11);
  const at::Tensor flat = at::zeros({50 * 64});
  at::Tensor head = parameter(model, "rwkv.head.weight");
  head.set_data(flat.view({50, 64}));
  flat.fill_(3);
  EXPECT_EQ(model.head()[49][63].item<float>(), 3.0F);
}

TEST(Embed, ImagePlacesAreZeroAndOtherIdsMustExist) {
  const VisualRwkv model(small_config(), /*seed=*/11);
  const at::Tensor x = model.embed(at::tensor({7, 65535, 49}, at::kLong));
  const at::Tensor table = parameter(model, "rwkv.emb.weight");
  EXPECT_EQ(x.sizes(), (std::vector<std::int64_t>{1, 3, 64}));
  EXPECT_TRUE(x[0][0].equal(table[7]));
  EXPECT_EQ(x[0][1].abs().max().item<float>(), 0.0F);
  EXPECT_TRUE(x[0][2].equal(table[49]));
  EXPECT_THROW(model.embed(at::tensor({50}, at::kLong)), ShapeError);
  EXPECT_THROW(model.embed(at::tensor({-1}, at::kLong)), ShapeError);
}

TEST(PlaceImages, WritesEachImageAtItsStartAndSplitsTheGradient) {
  const at::Tensor embedded = at::ones({1, 7, 2}).requires_grad_(true);
  const at::Tensor features =
      at::tensor({10., 11., 20., 21., 30., 31., 40., 41.}).to(at::kFloat).view({2, 2, 2});
  features.requires_grad_(true);
  const at::Tensor placed = VisualRwkv::place_images(embedded, features, at::tensor({4, 1}, at::kLong));
  const at::Tensor first_channel = at::tensor({1., 30., 40., 1., 10., 20., 1.}).to(at::kFloat);
  EXPECT_TRUE(placed.select(2, 0).squeeze(0).equal(first_channel));
  const at::Tensor weights = at::arange(14, at::kFloat).view({1, 7, 2});
  (placed * weights).sum().backward();
  EXPECT_EQ(embedded.grad().select(2, 1).sum().item<float>(), 1 + 7 + 13);
  EXPECT_TRUE(features.grad()[0].equal(weights[0].slice(0, 4, 6)));
  EXPECT_TRUE(features.grad()[1].equal(weights[0].slice(0, 1, 3)));
}

TEST(PlaceImages, RefusesImagesThatDoNotFit) {
  const at::Tensor embedded = at::ones({1, 7, 2});
  EXPECT_THROW(VisualRwkv::place_images(embedded, at::ones({1, 2, 2}), at::tensor({6}, at::kLong)),
               ShapeError);
  EXPECT_THROW(VisualRwkv::place_images(embedded, at::ones({2, 2, 2}), at::tensor({0}, at::kLong)),
               ShapeError);
  EXPECT_THROW(VisualRwkv::place_images(embedded, at::ones({1, 2, 3}), at::tensor({0}, at::kLong)),
               ShapeError);
  EXPECT_TRUE(
      VisualRwkv::place_images(embedded, at::ones({0, 2, 2}), at::empty({0}, at::kLong)).is_same(embedded));
}

TEST(FinalNorm, GivesItsParametersGradientsThatAreNotRoundedToBf16) {
  VisualRwkv model(small_config(), 3);
  model.move_to(c10::kCPU, c10::kBFloat16);
  const at::Tensor weight = parameter(model, "rwkv.ln_out.weight").requires_grad_();
  const at::Tensor bias = parameter(model, "rwkv.ln_out.bias").requires_grad_();
  const at::Tensor x = at::randn({1, 50, weight.numel()}).to(at::kBFloat16), d_y = at::randn_like(x);
  const auto actual = torch::autograd::grad({model.final_norm(x)}, {weight, bias}, {d_y});
  const at::Tensor exact =
      at::layer_norm(x.to(at::kDouble), weight.sizes(), weight.to(at::kDouble), bias.to(at::kDouble), 1e-5);
  const auto expected = torch::autograd::grad({exact}, {weight, bias}, {d_y.to(at::kDouble)});
  for (std::size_t i = 0; i < 2; ++i) {
    const double size = expected[i].norm().item<double>();
    EXPECT_LE((actual[i] - expected[i]).norm().item<double>(), 1e-6 * size);
  }
}

TEST(CastFrozen, ChangesNoResultAndKeepsTheOriginals) {
  VisualRwkv model(small_config(), 3);
  const VisualRwkv original(small_config(), 3);
  model.move_to(c10::kCPU, c10::kBFloat16);
  at::Tensor learning = parameter(model, "rwkv.head.weight").requires_grad_();
  const std::map<std::int64_t, std::vector<at::Tensor>> pixels = {
      {16, at::randint(256, {2, 3, 16, 16}, at::kByte).unbind()}};
  const auto features = [&] { return model.project_images(model.pool_images(model.encode_images(pixels))); };
  const at::Tensor before = features();
  model.cast_frozen();
  EXPECT_TRUE(features().equal(before));
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const auto& [name, tensor] = model.parameters()[i];
    EXPECT_EQ(tensor.scalar_type(), at::kFloat) << name;
    EXPECT_TRUE(tensor.equal(original.parameters()[i].tensor)) << name;
  }
  EXPECT_TRUE(model.head().is_same(learning));
  EXPECT_EQ(learning.scalar_type(), at::kFloat);
}

TEST(CastFrozen, DoesNothingInFp32) {
  VisualRwkv model(small_config(), 3);
  const std::vector<NamedTensor> before = model.parameters();
  model.cast_frozen();
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(model.parameters()[i].tensor.is_same(before[i].tensor)) << before[i].name;
}

}  // namespace
}  // namespace vrwkv::model
