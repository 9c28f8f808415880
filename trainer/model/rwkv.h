// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "trainer/model/channel_mix.h"
#include "trainer/model/layers.h"
#include "trainer/model/model_config.h"
#include "trainer/model/rwkv_state.h"
#include "trainer/model/time_mix.h"

namespace vrwkv::model {

/// One RWKV-7 block: x += time_mix(ln1 x);  x += channel_mix(ln2 x). Block 0 first normalises its input
/// (ln0), image features included.
class RwkvBlock {
 public:
  RwkvBlock(const LanguageModelConfig& config, std::int64_t layer, const ParameterFactory& parameters);

  struct Result {
    at::Tensor x;        ///< (1, T, C)
    at::Tensor v_first;  ///< (1, T, C)
  };
  Result operator()(const at::Tensor& x, const at::Tensor& v_first, const at::Tensor& sequence_starts,
                    LayerState* state,
                    std::int64_t kept_states_bytes = std::numeric_limits<std::int64_t>::max()) const;

 private:
  std::optional<LayerNorm> ln0_;
  LayerNorm ln1_;
  LayerNorm ln2_;
  TimeMix time_mix_;
  ChannelMix channel_mix_;
};

/// The language model's parts. A random one starts as RWKV recommends, with a tiny embedding (uniform +-1e-4,
/// so small against ln0's epsilon that text tokens enter block 0 with an rms of 0.02) and a small head
/// (uniform
/// +-0.5 / sqrt(C)); the original's own code leaves both at PyTorch's defaults.
class Rwkv {
 public:
  Rwkv(const LanguageModelConfig& config, const ParameterFactory& parameters);

  const at::Tensor& embedding() const { return embedding_; }  ///< (V, C)
  const RwkvBlock& block(std::int64_t layer) const { return blocks_.at(static_cast<std::size_t>(layer)); }
  const LayerNorm& final_norm() const { return final_norm_; }
  const at::Tensor& head() const { return head_; }  ///< (V, C)

 private:
  at::Tensor embedding_;
  std::vector<RwkvBlock> blocks_;
  LayerNorm final_norm_;
  at::Tensor head_;
};

}  // namespace vrwkv::model
