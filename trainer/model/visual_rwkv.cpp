// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/visual_rwkv.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "common/error.h"
#include "trainer/model/dinov2.h"
#include "trainer/model/layers.h"
#include "trainer/model/projector.h"
#include "trainer/model/rwkv.h"
#include "trainer/model/sam.h"
#include "trainer/model/siglip.h"

namespace vrwkv::model {
namespace {

ModelConfig checked(ModelConfig config) {
  validate(config);
  config.language_model = with_default_ranks(config.language_model);
  return config;
}

/// In the order in which their features stand side by side.
std::vector<std::unique_ptr<VisionEncoder>> make_encoders(const VisionConfig& config,
                                                          const ParameterFactory& parameters) {
  std::vector<std::unique_ptr<VisionEncoder>> encoders;
  if (config.dinov2)
    encoders.push_back(std::make_unique<DinoV2>(*config.dinov2, parameters.below("dino_featurizer.")));
  if (config.siglip)
    encoders.push_back(std::make_unique<Siglip>(*config.siglip, parameters.below("siglip_featurizer.")));
  if (config.sam) encoders.push_back(std::make_unique<Sam>(*config.sam, parameters.below("sam_featurizer.")));
  return encoders;
}

std::optional<Projector> make_projector(const ModelConfig& config, const ParameterFactory& parameters) {
  if (!config.vision.any()) return {};
  return Projector(config.vision.projector, config.vision.feature_width(), config.language_model.n_embd,
                   parameters);
}

}  // namespace

struct VisualRwkv::Parts {
  Parts(const ModelConfig& model_config, std::uint64_t seed, const ParameterFactory::Draws& draws)
      : config(checked(model_config)),
        factory(seed, draws, parameters),
        rwkv(config.language_model, factory.below("rwkv.")),
        encoders(make_encoders(config.vision, factory.below("vit."))),
        projector(make_projector(config, factory.below("proj."))) {}

  const ModelConfig config;
  std::vector<NamedTensor> parameters;
  const ParameterFactory factory;
  const Rwkv rwkv;
  const std::vector<std::unique_ptr<VisionEncoder>> encoders;
  const std::optional<Projector> projector;
  c10::Device device = c10::kCPU;
  c10::ScalarType compute_type = c10::kFloat;

  void require_encoder() const {
    if (encoders.empty())
      throw ConfigError(
          "model: it has no vision encoder but was given images (their features would be missing).");
  }

  void require_features(const at::Tensor& features, std::int64_t tokens) const {
    if (features.dim() != 3 || features.size(1) != tokens ||
        features.size(2) != config.vision.feature_width())
      throw ShapeError("model: image features are {} but should be (images, {}, {}).",
                       c10::str(features.sizes()), tokens, config.vision.feature_width());
  }
};

VisualRwkv::VisualRwkv(const ModelConfig& config, std::uint64_t seed,
                       const std::function<bool(const std::string&)>& draws)
    : parts_(std::make_unique<Parts>(config, seed, draws)) {}
VisualRwkv::VisualRwkv(const ModelConfig& config, std::uint64_t seed)
    : VisualRwkv(config, seed, [](const std::string&) { return true; }) {}
VisualRwkv VisualRwkv::uninitialized(const ModelConfig& config) {
  return {config, 0, [](const std::string&) { return false; }};
}
std::vector<NamedTensor> VisualRwkv::shapes(const ModelConfig& config) {
  return Parts(config, 0, /*draws=*/{}).parameters;
}
VisualRwkv::VisualRwkv(VisualRwkv&&) noexcept = default;
VisualRwkv& VisualRwkv::operator=(VisualRwkv&&) noexcept = default;
VisualRwkv::~VisualRwkv() = default;

void VisualRwkv::move_to(c10::Device device, c10::ScalarType compute_type) {
  for (const auto& [name, tensor] : parts_->parameters) tensor.set_data(tensor.detach().to(device));
  parts_->device = device;
  parts_->compute_type = compute_type;
}

bool VisualRwkv::rounds(const NamedTensor& parameter) const {
  const auto& [name, tensor] = parameter;
  if (parts_->compute_type == c10::kFloat || name == "rwkv.emb.weight" || name.ends_with(".att.r_k"))
    return false;
  const auto longer_than_one = [](std::int64_t size) { return size > 1; };
  return name.starts_with("vit.") ||
         std::count_if(tensor.sizes().begin(), tensor.sizes().end(), longer_than_one) >= 2;
}

void VisualRwkv::cast_frozen() {
  for (NamedTensor& parameter : parts_->parameters) {
    if (parameter.tensor.requires_grad() || !rounds(parameter)) continue;
    const at::Tensor original = parameter.tensor.detach();
    parameter.tensor.set_data(original.to(parts_->compute_type));
    parameter.tensor = original.cpu();
  }
}

c10::Device VisualRwkv::device() const { return parts_->device; }

c10::ScalarType VisualRwkv::compute_type() const { return parts_->compute_type; }

const ModelConfig& VisualRwkv::config() const { return parts_->config; }

const std::vector<NamedTensor>& VisualRwkv::parameters() const { return parts_->parameters; }

bool VisualRwkv::is_unused(const ModelConfig& config, const std::string& parameter) {
  const auto is_end = [&](const std::string& tower, std::int64_t depth) {
    return parameter.starts_with(tower + "norm.") || parameter.starts_with(tower + "attn_pool.") ||
           parameter.starts_with(fmt::format("{}blocks.{}.", tower, depth - 1));
  };
  const VisionConfig& vision = config.vision;
  return (vision.dinov2 && is_end("vit.dino_featurizer.", vision.dinov2->depth)) ||
         (vision.siglip && is_end("vit.siglip_featurizer.", vision.siglip->depth));
}

std::vector<std::int64_t> VisualRwkv::image_sizes() const {
  std::set<std::int64_t> sizes;
  for (const auto& encoder : parts_->encoders) sizes.insert(encoder->image_size());
  return {sizes.begin(), sizes.end()};
}

at::Tensor VisualRwkv::encode_images(const std::map<std::int64_t, std::vector<at::Tensor>>& pixels) const {
  parts_->require_encoder();
  std::vector<at::Tensor> features;
  for (const auto& encoder : parts_->encoders) {
    const auto found = pixels.find(encoder->image_size());
    if (found == pixels.end())
      throw ShapeError("model: no pixels of size {} were given (an encoder needs them).",
                       encoder->image_size());
    features.push_back(encoder->encode(found->second, parts_->device, parts_->compute_type));
    if (features.back().size(0) != features.front().size(0))
      throw ShapeError("model: {} images of {} pixels but {} of {} (each image is needed in every size).",
                       features.back().size(0), encoder->image_size(), features.front().size(0),
                       parts_->encoders.front()->image_size());
  }
  return features.size() == 1 ? features.front() : at::cat(features, -1);
}

at::Tensor VisualRwkv::pool_images(const at::Tensor& features_ILD) const {
  parts_->require_encoder();
  const VisionConfig& vision = parts_->config.vision;
  const std::int64_t grid = vision.grid();
  parts_->require_features(features_ILD, grid * grid);
  if (vision.tokens_per_image == grid * grid) return features_ILD;
  const auto side = std::lround(std::sqrt(static_cast<double>(vision.tokens_per_image)));
  const at::Tensor map = features_ILD.unflatten(1, {grid, grid}).permute({0, 3, 1, 2});
  return at::adaptive_avg_pool2d(map, {side, side}).flatten(2).transpose(1, 2);
}

at::Tensor VisualRwkv::project_images(const at::Tensor& pooled_IPD) const {
  parts_->require_encoder();
  parts_->require_features(pooled_IPD, parts_->config.vision.tokens_per_image);
  return (*parts_->projector)(pooled_IPD);
}

at::Tensor VisualRwkv::embed(const at::Tensor& token_ids) const {
  const at::Tensor is_image = token_ids == kImageToken;
  const at::Tensor text_ids = token_ids.masked_fill(is_image, 0);
  const std::int64_t vocabulary = parts_->config.language_model.vocabulary_size;
  if (((text_ids < 0) | (text_ids >= vocabulary)).any().item<bool>())
    throw ShapeError("model: token ids reach from {} to {} but the vocabulary has {} entries.",
                     text_ids.min().item<std::int64_t>(), text_ids.max().item<std::int64_t>(), vocabulary);
  return at::embedding(parts_->rwkv.embedding(), to_device(text_ids, parts_->device))
      .masked_fill(to_device(is_image, parts_->device).unsqueeze(-1), 0)
      .to(parts_->compute_type)
      .unsqueeze(0);
}

at::Tensor VisualRwkv::place_images(const at::Tensor& embedded, const at::Tensor& image_features,
                                    const at::Tensor& image_starts) {
  const std::int64_t tokens = embedded.size(1);
  const std::int64_t width = embedded.size(2);
  if (image_features.dim() != 3 || image_features.size(0) != image_starts.numel() ||
      image_features.size(2) != width)
    throw ShapeError("model: image features are {} but should be ({}, tokens per image, {}).",
                     c10::str(image_features.sizes()), image_starts.numel(), width);
  if (image_starts.numel() == 0) return embedded;
  const std::int64_t length = image_features.size(1);
  const at::Tensor places =
      (image_starts.unsqueeze(1) + at::arange(length, image_starts.options())).flatten();
  const auto last = places.max().item<std::int64_t>();
  if (last >= tokens || places.min().item<std::int64_t>() < 0)
    throw ShapeError("model: an image's place ends at token {} but there are {} (its features would be cut).",
                     last, tokens);
  return embedded.index_copy(1, to_device(places, embedded.device()),
                             image_features.flatten(0, 1).unsqueeze(0));
}

VisualRwkv::BlockResult VisualRwkv::block(std::int64_t layer, const at::Tensor& x, const at::Tensor& v_first,
                                          const at::Tensor& sequence_starts, LayerState* state,
                                          std::int64_t kept_states_bytes) const {
  const RwkvBlock::Result result =
      parts_->rwkv.block(layer)(x, v_first, sequence_starts, state, kept_states_bytes);
  return {result.x, result.v_first};
}

at::Tensor VisualRwkv::final_norm(const at::Tensor& x) const { return parts_->rwkv.final_norm()(x); }

const at::Tensor& VisualRwkv::head() const { return parts_->rwkv.head(); }

RwkvState VisualRwkv::initial_state(std::int64_t sequences) const {
  const LanguageModelConfig& config = parts_->config.language_model;
  const at::TensorOptions fp32 = at::TensorOptions(at::kFloat).device(parts_->device);
  const at::TensorOptions activation = fp32.dtype(parts_->compute_type);
  RwkvState state;
  for (std::int64_t layer = 0; layer < config.n_layer; ++layer)
    state.push_back(
        {.att_shift = at::zeros({1, sequences, config.n_embd}, activation),
         .wkv = at::zeros({1, sequences, config.heads(), config.head_size, config.head_size}, fp32),
         .ffn_shift = at::zeros({1, sequences, config.n_embd}, activation)});
  return state;
}

}  // namespace vrwkv::model
