// SPDX-License-Identifier: Apache-2.0
#include "data/image/resize.h"

#include <algorithm>
#include <memory>

#include "common/error.h"
#include "data/image/resize_passes.h"
#include "data/image/resize_taps.h"

namespace vrwkv::data {
namespace {

/// Bytes that hold nothing yet.
using Room = std::unique_ptr<std::uint8_t[]>;
Room make_room(std::int64_t bytes) {
  return std::make_unique_for_overwrite<std::uint8_t[]>(static_cast<std::size_t>(bytes));
}

/// (row, x, channel) to (channel, row, place): the horizontal pass, unless it changes nothing.
void to_planes(const std::uint8_t* rgb, std::int64_t in_width, std::int64_t rows, std::int64_t out_width,
               std::uint8_t* planes) {
  const std::int64_t plane_bytes = rows * out_width;
  if (in_width == out_width) {
    for (std::int64_t channel = 0; channel < 3; ++channel)
      for (std::int64_t i = 0; i < plane_bytes; ++i) planes[channel * plane_bytes + i] = rgb[3 * i + channel];
    return;
  }
  static const auto horizontal_pass = VRWKV_WIDEST(horizontal_pass);
  const ResizeTaps taps(in_width, out_width);
  const Room columns = make_room(in_width * 3 * kResizeRowsTogether);
  for (std::int64_t row = 0; row < rows; row += kResizeRowsTogether)
    horizontal_pass(rgb + row * in_width * 3, in_width, std::min(kResizeRowsTogether, rows - row),
                    taps.view(), columns.get(), planes + row * out_width, plane_bytes);
}

void check_sizes(const Image& image, std::int64_t width, std::int64_t height, std::size_t planes) {
  if (image.width < 1 || image.height < 1 ||
      image.rgb.size() != static_cast<std::size_t>(image.width * image.height * 3))
    throw ShapeError(
        "resize: the image is {} x {} pixels but holds {} bytes (3 per pixel, at least one pixel).",
        image.width, image.height, image.rgb.size());
  if (width < 1 || height < 1 || planes != static_cast<std::size_t>(width * height * 3))
    throw ShapeError("resize: {} x {} pixels were asked for in {} bytes (3 per pixel, at least one pixel).",
                     width, height, planes);
}

bool is_vertical_first(const Image& image, std::int64_t width, std::int64_t height, ResizeOrder order) {
  if (height >= image.height) return false;
  if (order == ResizeOrder::kPillow13) return image.height - height > 2 * (image.width - width);
  return image.height > image.width * 100;
}

}  // namespace

void resize_bicubic(const Image& image, std::int64_t width, std::int64_t height,
                    std::span<std::uint8_t> planes, ResizeOrder order) {
  check_sizes(image, width, height, planes.size());
  if (image.height == height) {
    to_planes(image.rgb.data(), image.width, height, width, planes.data());
    return;
  }
  static const auto vertical_pass = VRWKV_WIDEST(vertical_pass);
  const ResizeTaps rows(image.height, height);
  if (is_vertical_first(image, width, height, order)) {
    const Room between = make_room(height * image.width * 3);
    vertical_pass(image.rgb.data(), image.width * 3, 0, rows.view(), between.get());
    to_planes(between.get(), image.width, height, width, planes.data());
    return;
  }
  const std::int64_t needed = rows.end() - rows.begin();
  const Room between = make_room(3 * needed * width);
  to_planes(image.rgb.data() + rows.begin() * image.width * 3, image.width, needed, width, between.get());
  for (std::int64_t channel = 0; channel < 3; ++channel)
    vertical_pass(between.get() + channel * needed * width, width, rows.begin(), rows.view(),
                  planes.data() + channel * height * width);
}

}  // namespace vrwkv::data
