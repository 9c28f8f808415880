// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/vision_encoder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "common/error.h"
#include "trainer/model/layers.h"

namespace vrwkv::model {
namespace {

at::Tensor channel_values(const std::array<float, 3>& values, const at::Tensor& like) {
  return at::tensor(at::ArrayRef<float>(values), like.options()).view({3, 1, 1});
}

}  // namespace

VisionEncoder::VisionEncoder(const Sizes& sizes, const PixelStatistics& statistics)
    : image_size_(sizes.image_size),
      grid_(sizes.grid),
      feature_width_(sizes.feature_width),
      statistics_(statistics) {}

at::Tensor VisionEncoder::encode(const std::vector<at::Tensor>& pixels, c10::Device device,
                                 c10::ScalarType type) const {
  const at::NoGradGuard no_grad;
  const auto count = static_cast<std::int64_t>(pixels.size());
  at::Tensor features =
      at::empty({count, grid_ * grid_, feature_width_}, at::TensorOptions(device).dtype(type));
  for (std::int64_t image = 0; image < count; ++image) {
    const at::Tensor& bytes = pixels[static_cast<std::size_t>(image)];
    if (bytes.sizes() != at::IntArrayRef({3, image_size_, image_size_}) || bytes.scalar_type() != at::kByte)
      throw ShapeError("vision encoder: pixels are {} {} but should be uint8 (3, {}, {}).",
                       c10::toString(bytes.scalar_type()), c10::str(bytes.sizes()), image_size_, image_size_);
    at::Tensor picture = to_device(bytes, device).to(at::kFloat).div_(255).unsqueeze_(0);
    picture.sub_(channel_values(statistics_.mean, picture))
        .div_(channel_values(statistics_.deviation, picture));
    features.narrow(0, image, 1).copy_(forward(picture.to(type)));
  }
  return features;
}

}  // namespace vrwkv::model
