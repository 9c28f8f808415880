// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/vit_block.h"

#include <ATen/ATen.h>

namespace vrwkv::model {
namespace {

at::Tensor layer_scale(const ParameterFactory& parameters, const std::string& name,
                       const VitBlock::Sizes& sizes) {
  return sizes.layer_scale ? parameters.constant(name, {sizes.width}, 1) : at::Tensor();
}

at::Tensor add_scaled(const at::Tensor& x, const at::Tensor& update, const at::Tensor& scale) {
  return scale.defined() ? at::addcmul(x, update, typed_as(scale, x)) : x + update;
}

}  // namespace

VitBlock::VitBlock(const ParameterFactory& parameters, const Sizes& sizes)
    : heads_(sizes.heads),
      norm1_(parameters, "norm1", sizes.width, kVitEpsilon),
      qkv_(parameters, "attn.qkv", sizes.width, 3 * sizes.width),
      proj_(parameters, "attn.proj", sizes.width, sizes.width),
      ls1_(layer_scale(parameters, "ls1.gamma", sizes)),
      norm2_(parameters, "norm2", sizes.width, kVitEpsilon),
      fc1_(parameters, "mlp.fc1", sizes.width, sizes.mlp_hidden),
      fc2_(parameters, "mlp.fc2", sizes.mlp_hidden, sizes.width),
      ls2_(layer_scale(parameters, "ls2.gamma", sizes)) {}

at::Tensor VitBlock::attention(const at::Tensor& x) const {
  const std::int64_t width = x.size(2);
  const at::Tensor qkv =
      qkv_(x).view({x.size(0), x.size(1), 3, heads_, width / heads_}).permute({2, 0, 3, 1, 4});
  const at::Tensor y = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]);
  return proj_(y.transpose(1, 2).reshape(x.sizes()));
}

at::Tensor VitBlock::operator()(const at::Tensor& x) const {
  const at::Tensor attended = add_scaled(x, attention(norm1_(x)), ls1_);
  return add_scaled(attended, fc2_(at::gelu(fc1_(norm2_(attended)))), ls2_);
}

void list_unused_end(const ParameterFactory& parameters, std::int64_t block, const VitBlock::Sizes& sizes) {
  VitBlock(parameters.block(block), sizes);
  VitNorm(parameters, "norm", sizes.width, kVitEpsilon);
}

}  // namespace vrwkv::model
