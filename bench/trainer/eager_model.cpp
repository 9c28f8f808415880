// SPDX-License-Identifier: Apache-2.0
#include "bench/trainer/eager_model.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "bench/kernels/eager_wkv7.h"

namespace vrwkv::bench {
namespace {

/// nn.ZeroPad2d((0, 0, 1, -1)), as the original shifts.
at::Tensor shift(const at::Tensor& x) { return at::constant_pad_nd(x, {0, 0, 1, -1}); }

std::string block_name(std::int64_t layer, const char* part) {
  return "rwkv.blocks." + std::to_string(layer) + "." + part;
}

}  // namespace

PaddedBatch pad(const data::MicroBatch& batch) {
  const std::int64_t samples = batch.sequence_starts.numel();
  std::vector<std::int64_t> ends;
  for (std::int64_t s = 1; s < samples; ++s) ends.push_back(batch.sequence_starts[s].item<std::int64_t>());
  ends.push_back(batch.tokens());
  std::vector<at::Tensor> token_ids, labels;
  std::int64_t begin = 0, longest = 0;
  for (const std::int64_t end : ends) {
    token_ids.push_back(batch.token_ids.slice(0, begin, end));
    labels.push_back(batch.labels.slice(0, begin, end));
    longest = std::max(longest, end - begin);
    begin = end;
  }
  const auto stacked = [&](const std::vector<at::Tensor>& rows, std::int64_t filling) {
    at::Tensor whole = at::full({samples, longest}, filling, at::kLong);
    for (std::int64_t s = 0; s < samples; ++s)
      whole[s]
          .slice(0, 0, rows[static_cast<std::size_t>(s)].numel())
          .copy_(rows[static_cast<std::size_t>(s)]);
    return whole;
  };
  return {stacked(token_ids, 0), stacked(labels, data::kIgnoreIndex), batch.pixels};
}

EagerModel::EagerModel(const model::VisualRwkv& model, const trainer::TrainableParts& parts) : model_(model) {
  for (const auto& [name, tensor] : model.parameters()) {
    if (name.starts_with("vit.")) continue;
    const at::Tensor copy = tensor.detach().clone().requires_grad_(parts.includes(name));
    parameters_[name] = copy;
    if (copy.requires_grad()) trainable_.push_back(copy);
  }
}

at::Tensor EagerModel::norm(const at::Tensor& x, const std::string& name) const {
  return at::layer_norm(x, {x.size(-1)}, (*this)[name + ".weight"], (*this)[name + ".bias"], 1e-5);
}

at::Tensor EagerModel::inputs(const PaddedBatch& batch) const {
  const at::Tensor is_image = batch.token_ids == data::kImageToken;
  const at::Tensor x = at::embedding((*this)["rwkv.emb.weight"], batch.token_ids.masked_fill(is_image, 0));
  if (batch.pixels.empty() || batch.pixels.begin()->second.empty()) return x;
  const at::Tensor features = model_.encode_images(batch.pixels);
  const at::Tensor gate = at::sigmoid(at::linear(features, (*this)["proj.gate.weight"]));
  const at::Tensor projected = norm(at::linear(features * gate, (*this)["proj.o_proj.weight"]), "proj.ln_v");
  return x.masked_scatter(is_image.unsqueeze(-1), projected);
}

at::Tensor EagerModel::time_mix(std::int64_t layer, const at::Tensor& x, at::Tensor& v_first) const {
  const auto p = [&](const char* name) -> const at::Tensor& {
    return (*this)[block_name(layer, "att.") + name];
  };
  const model::LanguageModelConfig& config = model_.config().language_model;
  const std::int64_t batch = x.size(0), tokens = x.size(1), width = x.size(2), heads = config.heads();
  const auto by_head = [&](const at::Tensor& t) { return t.view({batch, tokens, heads, config.head_size}); };
  const at::Tensor xx = shift(x) - x;
  const at::Tensor r = at::linear(x + xx * p("x_r"), p("receptance.weight"));
  const at::Tensor m_w = x + xx * p("x_w");
  const at::Tensor w = -at::softplus(-(p("w0") + at::tanh(m_w.matmul(p("w1"))).matmul(p("w2")))) - 0.5;
  const at::Tensor raw_k = at::linear(x + xx * p("x_k"), p("key.weight"));
  const at::Tensor m_v = x + xx * p("x_v");
  at::Tensor v = at::linear(m_v, p("value.weight"));
  if (layer == 0)
    v_first = v;
  else
    v = v + (v_first - v) * at::sigmoid(p("v0") + m_v.matmul(p("v1")).matmul(p("v2")));
  const at::Tensor m_a = x + xx * p("x_a");
  const at::Tensor a = at::sigmoid(p("a0") + m_a.matmul(p("a1")).matmul(p("a2")));
  const at::Tensor g = at::sigmoid((x + xx * p("x_g")).matmul(p("g1"))).matmul(p("g2"));
  const at::Tensor scaled_k = by_head(raw_k * p("k_k"));
  const at::Tensor kk =
      scaled_k / at::linalg_vector_norm(scaled_k, 2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
  const at::Tensor k = raw_k * (1 + (a - 1) * p("k_a"));
  at::Tensor y = eager_wkv7(by_head(r), by_head(w), by_head(k), by_head(v), -kk, kk * by_head(a));
  y = at::group_norm(y.reshape({batch * tokens, width}), heads, p("ln_x.weight"), p("ln_x.bias"), 64e-5);
  const at::Tensor bonus = (by_head(r) * by_head(k) * p("r_k")).sum(-1, /*keepdim=*/true) * by_head(v);
  return at::linear((y.view({batch, tokens, width}) + bonus.view({batch, tokens, width})) * g,
                    p("output.weight"));
}

at::Tensor EagerModel::channel_mix(std::int64_t layer, const at::Tensor& x) const {
  const at::Tensor mixed = x + (shift(x) - x) * (*this)[block_name(layer, "ffn.x_k")];
  const at::Tensor k = at::relu(at::linear(mixed, (*this)[block_name(layer, "ffn.key.weight")])).square();
  return at::linear(k, (*this)[block_name(layer, "ffn.value.weight")]);
}

at::Tensor EagerModel::loss(const PaddedBatch& batch) const {
  at::Tensor x = norm(inputs(batch), "rwkv.blocks.0.ln0");
  at::Tensor v_first;
  for (std::int64_t layer = 0; layer < model_.config().language_model.n_layer; ++layer) {
    x = x + time_mix(layer, norm(x, block_name(layer, "ln1")), v_first);
    x = x + channel_mix(layer, norm(x, block_name(layer, "ln2")));
  }
  const at::Tensor logits = at::linear(norm(x, "rwkv.ln_out"), (*this)["rwkv.head.weight"]);
  const at::Tensor predicting = logits.slice(1, 0, -1);
  const at::Tensor labels = batch.labels.slice(1, 1);
  const at::Tensor losses =
      at::cross_entropy_loss(predicting.reshape({-1, logits.size(2)}), labels.reshape({-1}),
                             /*weight=*/{}, at::Reduction::None, data::kIgnoreIndex);
  const at::Tensor targets = (labels != data::kIgnoreIndex).sum(1).clamp_min(1);
  return (losses.view_as(labels).sum(1) / targets).mean();
}

}  // namespace vrwkv::bench
