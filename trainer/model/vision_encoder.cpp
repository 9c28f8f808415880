// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/vision_encoder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "common/error.h"

namespace vrwkv::model {
namespace {

/// Patches that go through an encoder at once: 8 images of 448 pixels, 2 of SAM's. Larger slices are no
/// faster.
constexpr std::int64_t kPatchesPerSlice = 8192;

at::Tensor channel_values(const std::array<float, 3>& values, const at::Tensor& like) {
  return at::tensor(at::ArrayRef<float>(values), like.options()).view({3, 1, 1});
}

}  // namespace

VisionEncoder::VisionEncoder(const Sizes& sizes, const PixelStatistics& statistics)
    : image_size_(sizes.image_size),
      grid_(sizes.grid),
      feature_width_(sizes.feature_width),
      images_per_slice_(std::max<std::int64_t>(1, kPatchesPerSlice / sizes.patches)),
      statistics_(statistics) {}

at::Tensor VisionEncoder::encode(const at::Tensor& pixels, c10::ScalarType type) const {
  const at::NoGradGuard no_grad;
  if (pixels.dim() != 4 || pixels.size(1) != 3 || pixels.size(2) != image_size_ ||
      pixels.size(3) != image_size_ || pixels.scalar_type() != at::kByte)
    throw ShapeError("vision encoder: pixels are {} {} but should be uint8 (images, 3, {}, {}).",
                     c10::toString(pixels.scalar_type()), c10::str(pixels.sizes()), image_size_, image_size_);
  const std::int64_t count = pixels.size(0);
  at::Tensor features = at::empty({count, grid_ * grid_, feature_width_}, pixels.options().dtype(type));
  for (std::int64_t begin = 0; begin < count; begin += images_per_slice_) {
    const std::int64_t length = std::min(images_per_slice_, count - begin);
    at::Tensor images = pixels.narrow(0, begin, length).to(at::kFloat).div_(255);
    images.sub_(channel_values(statistics_.mean, images)).div_(channel_values(statistics_.deviation, images));
    features.narrow(0, begin, length).copy_(forward(images.to(type)));
  }
  return features;
}

}  // namespace vrwkv::model
