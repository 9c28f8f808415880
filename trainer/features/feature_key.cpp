// SPDX-License-Identifier: Apache-2.0
#include "trainer/features/feature_key.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "common/crc32c.h"

namespace vrwkv::trainer {
namespace {

std::string checksum_line(const NamedTensor& parameter) {
  const at::Tensor values = parameter.tensor.detach().cpu().contiguous();
  return fmt::format("{} {} {:08x}", parameter.name, c10::str(values.sizes()),
                     crc32c(values.const_data_ptr(), values.nbytes()));
}

}  // namespace

FeatureKey feature_key(const model::VisualRwkv& model, const data::ImageOptions& images, FeatureType type) {
  const auto& vision = model.config().vision;
  FeatureKey key = {
      "features 2",
      fmt::format("computed {}", c10::toString(model.compute_type())),
      fmt::format("stored {}", name_of(type)),
      fmt::format("tokens_per_image {}", vision.tokens_per_image),
      fmt::format("truncated_images {}", images.accept_truncated ? "accept" : "refuse"),
      fmt::format("resize_mode {}", images.resize_mode == data::ResizeMode::kPad ? "pad" : "squash"),
      fmt::format("resize_order {}",
                  images.resize_order == data::ResizeOrder::kPillow13 ? "pillow13" : "horizontal_first"),
  };
  if (vision.dinov2) key.push_back(fmt::format("dinov2 heads {}", vision.dinov2->heads));
  if (vision.siglip) key.push_back(fmt::format("siglip heads {}", vision.siglip->heads));
  if (vision.sam)
    key.push_back(fmt::format("sam heads {} window {} global {}", vision.sam->heads, vision.sam->window_size,
                              fmt::join(vision.sam->global_blocks, ",")));
  for (const std::int64_t size : model.image_sizes()) key.push_back(fmt::format("pixels {}", size));
  for (const NamedTensor& parameter : model.parameters())
    if (parameter.name.starts_with("vit.") && !model::VisualRwkv::is_unused(model.config(), parameter.name))
      key.push_back(checksum_line(parameter));
  return key;
}

std::string first_difference(const FeatureKey& there, const FeatureKey& here) {
  for (std::size_t i = 0; i < std::max(there.size(), here.size()); ++i) {
    const std::string a = i < there.size() ? there[i] : "nothing";
    const std::string b = i < here.size() ? here[i] : "nothing";
    if (a != b) return fmt::format("'{}' there, '{}' here", a, b);
  }
  return {};
}

}  // namespace vrwkv::trainer
