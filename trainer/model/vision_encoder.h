// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

namespace vrwkv::model {

/// Per channel, of pixels scaled to [0, 1].
struct PixelStatistics {
  std::array<float, 3> mean;
  std::array<float, 3> deviation;
};

inline constexpr PixelStatistics kImageNetPixels{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}};
inline constexpr PixelStatistics kHalfPixels{{0.5F, 0.5F, 0.5F}, {0.5F, 0.5F, 0.5F}};

/// A frozen image encoder: a square picture becomes a grid of feature vectors.
class VisionEncoder {
 public:
  virtual ~VisionEncoder() = default;
  VisionEncoder(const VisionEncoder&) = delete;
  VisionEncoder& operator=(const VisionEncoder&) = delete;

  std::int64_t image_size() const { return image_size_; }  ///< pixels a side
  std::int64_t grid() const { return grid_; }              ///< tokens a side; token = row * grid + column
  std::int64_t feature_width() const { return feature_width_; }

  /// Features of each picture; normalises the pixels itself. Never records gradients. Images go through one
  /// by one: working memory does not grow with their number, and an image's features are the same bits
  /// whatever it comes with.
  /// @param pixels  (I) pictures, each (3, image_size, image_size) uint8, on the CPU or on `device`, where
  ///                they go one by one; I may be 0.
  /// @param device  where the parameters are.
  /// @param type    what to compute in: fp32 or bf16.
  /// @return        (I, grid * grid, feature_width) of that type.
  /// @throws ShapeError when a picture has another shape or type.
  at::Tensor encode(const std::vector<at::Tensor>& pixels, c10::Device device, c10::ScalarType type) const;

 protected:
  struct Sizes {
    std::int64_t image_size;
    std::int64_t grid;
    std::int64_t feature_width;
  };
  VisionEncoder(const Sizes& sizes, const PixelStatistics& statistics);

 private:
  /// @param images  (1, 3, image_size, image_size), normalised, of the type to compute in.
  virtual at::Tensor forward(const at::Tensor& images) const = 0;

  std::int64_t image_size_;
  std::int64_t grid_;
  std::int64_t feature_width_;
  PixelStatistics statistics_;
};

}  // namespace vrwkv::model
