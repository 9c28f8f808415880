// SPDX-License-Identifier: Apache-2.0
// CMakeLists.txt forbids fused multiply-adds in this file: they could flip the last bit of a weight.
#include "data/image/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "common/error.h"

namespace vrwkv::data {
namespace {

constexpr int kFractionBits = 22;
constexpr std::int32_t kHalf = 1 << (kFractionBits - 1);
/// Rows that the horizontal pass takes together, side by side, so that vector instructions fit.
constexpr std::int64_t kRowsTogether = 16;

double cubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * kA;
  return 0.0;
}

/// For each output place of one axis: the input places it is made of and their weights.
struct Taps {
  std::vector<std::int64_t> first, count;
  std::vector<std::int32_t> weights;  ///< `stride` per output place
  std::int64_t stride = 0;

  std::span<const std::int32_t> weights_of(std::int64_t place) const {
    return {weights.data() + place * stride, static_cast<std::size_t>(count[place])};
  }
  /// Input places that any output place needs: [begin(), end()). Both grow with the output place.
  std::int64_t begin() const { return first.front(); }
  std::int64_t end() const { return first.back() + count.back(); }
};

Taps make_taps(std::int64_t in, std::int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  Taps taps;
  taps.stride = static_cast<std::int64_t>(std::ceil(support)) * 2 + 1;
  taps.weights.resize(static_cast<std::size_t>(out * taps.stride));
  std::vector<double> exact(static_cast<std::size_t>(taps.stride));
  for (std::int64_t place = 0; place < out; ++place) {
    const double center = (static_cast<double>(place) + 0.5) * scale;
    const std::int64_t first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const std::int64_t count = std::min(static_cast<std::int64_t>(center + support + 0.5), in) - first;
    double sum = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
      exact[i] = cubic((static_cast<double>(i + first) - center + 0.5) * (1.0 / filter_scale));
      sum += exact[i];
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const double weight = exact[i] / sum * (1 << kFractionBits);
      taps.weights[place * taps.stride + i] =
          static_cast<std::int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    taps.first.push_back(first);
    taps.count.push_back(count);
  }
  return taps;
}

std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

/// `in` holds rows of `row_bytes` from input row `first_row` on; `out` gets one such row per output place.
void vertical_pass(const std::uint8_t* in, std::int64_t row_bytes, std::int64_t first_row, const Taps& taps,
                   std::uint8_t* out) {
  std::vector<std::int32_t> sums(static_cast<std::size_t>(row_bytes));
  for (std::size_t place = 0; place < taps.first.size(); ++place) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const std::uint8_t* row = in + (taps.first[place] - first_row) * row_bytes;
    for (const std::int32_t weight : taps.weights_of(static_cast<std::int64_t>(place))) {
      for (std::int64_t i = 0; i < row_bytes; ++i) sums[i] += weight * row[i];
      row += row_bytes;
    }
    std::uint8_t* result = out + static_cast<std::int64_t>(place) * row_bytes;
    for (std::int64_t i = 0; i < row_bytes; ++i) result[i] = to_byte(sums[i]);
  }
}

/// The horizontal pass over up to kRowsTogether rows: (row, x, channel) to (channel, row, place).
class HorizontalPass {
 public:
  HorizontalPass(std::int64_t in_width, const Taps& taps)
      : in_width_(in_width), taps_(taps), columns_(static_cast<std::size_t>(in_width * kColumn)) {}

  /// Plane `channel` starts at `out + channel * plane_bytes`; `out` points to the first of the rows.
  void run(const std::uint8_t* rgb, std::int64_t rows, std::uint8_t* out, std::int64_t plane_bytes) {
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t i = 0; i < in_width_ * 3; ++i)
        columns_[i * kRowsTogether + row] = rgb[row * in_width_ * 3 + i];
    const auto out_width = static_cast<std::int64_t>(taps_.first.size());
    for (std::int64_t place = 0; place < out_width; ++place) {
      std::array<std::uint8_t, kColumn> column = weigh(place);
      for (std::int64_t channel = 0; channel < 3; ++channel)
        for (std::int64_t row = 0; row < rows; ++row)
          out[channel * plane_bytes + row * out_width + place] = column[channel * kRowsTogether + row];
    }
  }

 private:
  /// One pixel column: its three channels, each of kRowsTogether rows.
  static constexpr std::int64_t kColumn = 3 * kRowsTogether;

  std::array<std::uint8_t, kColumn> weigh(std::int64_t place) const {
    std::array<std::int32_t, kColumn> sums;
    sums.fill(kHalf);
    const std::uint8_t* in = columns_.data() + taps_.first[place] * kColumn;
    for (const std::int32_t weight : taps_.weights_of(place)) {
      for (std::int64_t i = 0; i < kColumn; ++i) sums[i] += weight * in[i];
      in += kColumn;
    }
    std::array<std::uint8_t, kColumn> result;
    for (std::int64_t i = 0; i < kColumn; ++i) result[i] = to_byte(sums[i]);
    return result;
  }

  std::int64_t in_width_;
  const Taps& taps_;
  std::vector<std::uint8_t> columns_;  ///< (x, channel, row)
};

/// (row, x, channel) to (channel, row, place): the horizontal pass, unless it changes nothing.
void to_planes(const std::uint8_t* rgb, std::int64_t in_width, std::int64_t rows, std::int64_t out_width,
               std::uint8_t* planes) {
  const std::int64_t plane_bytes = rows * out_width;
  if (in_width == out_width) {
    for (std::int64_t channel = 0; channel < 3; ++channel)
      for (std::int64_t i = 0; i < plane_bytes; ++i) planes[channel * plane_bytes + i] = rgb[3 * i + channel];
    return;
  }
  const Taps taps = make_taps(in_width, out_width);
  HorizontalPass pass(in_width, taps);
  for (std::int64_t row = 0; row < rows; row += kRowsTogether)
    pass.run(rgb + row * in_width * 3, std::min(kRowsTogether, rows - row), planes + row * out_width,
             plane_bytes);
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
  const Taps rows = make_taps(image.height, height);
  if (is_vertical_first(image, width, height, order)) {
    std::vector<std::uint8_t> between(static_cast<std::size_t>(height * image.width * 3));
    vertical_pass(image.rgb.data(), image.width * 3, 0, rows, between.data());
    to_planes(between.data(), image.width, height, width, planes.data());
    return;
  }
  const std::int64_t needed = rows.end() - rows.begin();
  std::vector<std::uint8_t> between(static_cast<std::size_t>(3 * needed * width));
  to_planes(image.rgb.data() + rows.begin() * image.width * 3, image.width, needed, width, between.data());
  for (std::int64_t channel = 0; channel < 3; ++channel)
    vertical_pass(between.data() + channel * needed * width, width, rows.begin(), rows,
                  planes.data() + channel * height * width);
}

}  // namespace vrwkv::data
