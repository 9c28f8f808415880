// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "tests/trainer/tiny_model.h"

namespace vrwkv::test {

/// A model that says `token` whatever it is asked.
inline model::VisualRwkv constant_model(std::int64_t token) {
  model::VisualRwkv model = tiny_model(/*seed=*/1);
  for (const auto& [name, tensor] : model.parameters()) {
    // The final LayerNorm then gives ones, so a row of the head is a logit in as many parts.
    if (name == "rwkv.ln_out.weight" || name == "rwkv.head.weight") at::Tensor(tensor).zero_();
    if (name == "rwkv.ln_out.bias") at::Tensor(tensor).fill_(1);
    if (name == "rwkv.head.weight") tensor.select(0, token).fill_(1);
  }
  return model;
}

/// The vocabulary's first ids are the single bytes, from 1.
inline std::int64_t token_of(char byte) { return static_cast<unsigned char>(byte) + 1; }

/// A random model that answers in printable ASCII, so that answers that differ differ as text.
inline model::VisualRwkv talking_model(std::uint64_t seed) {
  model::VisualRwkv model = tiny_model(seed);
  for (const auto& [name, tensor] : model.parameters()) {
    if (name != "rwkv.head.weight") continue;
    // Their logits are 0, and among the many others there is always a positive one.
    tensor.slice(0, 0, token_of('!')).zero_();
    tensor.slice(0, token_of('~') + 1).zero_();
  }
  return model;
}

}  // namespace vrwkv::test
