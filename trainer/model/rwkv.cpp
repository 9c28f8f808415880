// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/rwkv.h"

#include <ATen/ATen.h>

#include <cmath>

namespace vrwkv::model {
namespace {

std::optional<LayerNorm> input_norm(const LanguageModelConfig& config, std::int64_t layer,
                                    const ParameterFactory& parameters) {
  if (layer > 0) return {};
  return LayerNorm(parameters, "ln0", config.n_embd, kRwkvEpsilon);
}

std::vector<RwkvBlock> make_blocks(const LanguageModelConfig& config, const ParameterFactory& parameters) {
  std::vector<RwkvBlock> blocks;
  for (std::int64_t layer = 0; layer < config.n_layer; ++layer)
    blocks.emplace_back(config, layer, parameters.block(layer));
  return blocks;
}

}  // namespace

RwkvBlock::RwkvBlock(const LanguageModelConfig& config, std::int64_t layer,
                     const ParameterFactory& parameters)
    : ln0_(input_norm(config, layer, parameters)),
      ln1_(parameters, "ln1", config.n_embd, kRwkvEpsilon),
      ln2_(parameters, "ln2", config.n_embd, kRwkvEpsilon),
      time_mix_(config, layer, parameters.below("att.")),
      channel_mix_(config, layer, parameters.below("ffn.")) {}

RwkvBlock::Result RwkvBlock::operator()(const at::Tensor& x, const at::Tensor& v_first,
                                        const at::Tensor& sequence_starts, LayerState* state,
                                        std::int64_t kept_states_bytes) const {
  const at::Tensor input = ln0_ ? (*ln0_)(x) : x;
  const TimeMix::Result mixed = time_mix_(input, ln1_, v_first, sequence_starts, state, kept_states_bytes);
  return {channel_mix_(mixed.x, ln2_, sequence_starts, state), mixed.v_first};
}

Rwkv::Rwkv(const LanguageModelConfig& config, const ParameterFactory& parameters)
    : embedding_(parameters.uniform("emb.weight", {config.vocabulary_size, config.n_embd}, 1e-4)),
      blocks_(make_blocks(config, parameters)),
      final_norm_(parameters, "ln_out", config.n_embd, kRwkvEpsilon),
      head_(parameters.uniform("head.weight", {config.vocabulary_size, config.n_embd},
                               0.5 / std::sqrt(static_cast<double>(config.n_embd)))) {}

}  // namespace vrwkv::model
