// SPDX-License-Identifier: Apache-2.0
#include "kernels/fp32_product/bf16_product_cpu.h"

#include <ATen/cpu/Utils.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>

#include "kernels/cpu/for_each_task.h"

namespace vrwkv::kernels::cpu {
namespace {

constexpr std::int64_t kDeepest = 1024;  // of panels: two of them fit in a second-level cache
constexpr std::int64_t kTileElements = kPanelVectors * kPanelVectors;
constexpr std::int64_t kRowsMultiple = 16;  // of a tile; an AMX register has as many
constexpr std::int64_t kTasksPerThread = 4;
constexpr std::int64_t kElementBytes = sizeof(Bf16);
static_assert(kPanelVectors * kDeepest * kElementBytes + kTileElements * 4 == kMostThreadBytes);

std::int64_t pieces(std::int64_t whole, std::int64_t piece) { return (whole + piece - 1) / piece; }

/// a b for a piece of their depth and some panels of b, which are packed once for all rows of a.
class PackedProduct {
 public:
  PackedProduct(const Bf16Vectors& a, const Bf16Vectors& b, Bf16* packed)
      : a_(a),
        b_(b),
        depth_(pieces(b.depth, kPanelDepth) * kPanelDepth),
        strips_(pieces(a.count, kPanelVectors)),
        panels_(pieces(b.count, kPanelVectors)),
        packed_(packed) {}

  void run(float* to, std::int64_t row_stride, bool adds) const {
    for_each_task(panels_, 0, [&](std::int64_t panel, float*) {
      pack(b_, panel, PanelOrder::kRight, packed_ + panel * kPanelVectors * depth_);
    });
    // A task is a strip of rows, and where those are few a part of the panels too.
    const std::int64_t wanted = kTasksPerThread * at::get_num_threads();
    const std::int64_t parts = std::min(panels_, pieces(wanted, strips_));
    for_each_task(
        strips_ * parts, kPanelVectors * depth_ / 2 + kTileElements, [&](std::int64_t task, float* scratch) {
          const std::int64_t strip = task / parts, part = task % parts;
          auto* const left = reinterpret_cast<Bf16*>(scratch + kTileElements);
          pack(a_, strip, PanelOrder::kLeft, left);
          for (std::int64_t panel = part * panels_ / parts; panel < (part + 1) * panels_ / parts; ++panel)
            multiply(left, strip, panel, {to, row_stride}, adds, /*tile=*/scratch);
          at::native::cpublas::brgemm_release();
        });
  }

 private:
  struct Rows {
    float* data;
    std::int64_t stride;
  };

  void pack(const Bf16Vectors& from, std::int64_t panel, PanelOrder order, Bf16* to) const {
    static const auto pack_panel = VRWKV_WIDEST(pack_panel);
    pack_panel(from.part(panel * kPanelVectors, kPanelVectors, 0, depth_), order, depth_, to);
  }

  void multiply(const Bf16* left, std::int64_t strip, std::int64_t panel, const Rows& to, bool adds,
                float* tile) const {
    const std::int64_t first_row = strip * kPanelVectors, first_column = panel * kPanelVectors;
    const std::int64_t rows = std::min(kPanelVectors, a_.count - first_row);
    const std::int64_t columns = std::min(kPanelVectors, b_.count - first_column);
    const std::int64_t multiplied = pieces(rows, kRowsMultiple) * kRowsMultiple;
    float* const corner = to.data + first_row * to.stride + first_column;
    const auto product = [&](float* into, std::int64_t stride, bool adds_there) {
      at::native::cpublas::brgemm(
          multiplied, kPanelVectors, depth_, depth_, kPanelVectors, stride, adds_there,
          reinterpret_cast<const at::BFloat16*>(left),
          reinterpret_cast<const at::BFloat16*>(packed_ + panel * kPanelVectors * depth_), into);
    };
    if (rows == multiplied && columns == kPanelVectors) return product(corner, to.stride, adds);
    product(tile, kPanelVectors, /*adds_there=*/false);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        const float sum = tile[i * kPanelVectors + j];
        float& place = corner[i * to.stride + j];
        place = adds ? place + sum : sum;
      }
    }
  }

  const Bf16Vectors &a_, &b_;
  const std::int64_t depth_;  // of panels
  const std::int64_t strips_, panels_;
  Bf16* const packed_;
};

}  // namespace

Bf16Vectors Bf16Vectors::part(std::int64_t first, std::int64_t most, std::int64_t from,
                              std::int64_t deepest) const {
  return {.data = data + first * vector_stride + from * depth_stride,
          .vector_stride = vector_stride,
          .depth_stride = depth_stride,
          .count = std::min(most, count - first),
          .depth = std::min(deepest, depth - from)};
}

bool multiplies_bf16() {
  static const bool has = [] {
    const auto capabilities = at::cpu::get_cpu_capabilities();
    const auto is_there = [&](const char* name) {
      const auto found = capabilities.find(name);
      return found != capabilities.end() && found->second.isBool() && found->second.toBool();
    };
    return is_there("avx512_bf16") || is_there("amx_bf16");
  }();
  return has;
}

void bf16_product(const Bf16Vectors& a, const Bf16Vectors& b, float* to, std::int64_t row_stride, bool adds) {
  const std::int64_t deepest = std::min(kDeepest, pieces(b.depth, kPanelDepth) * kPanelDepth);
  const std::int64_t columns =
      std::min(pieces(b.count, kPanelVectors), kMostPackedBytes / (kPanelVectors * deepest * kElementBytes)) *
      kPanelVectors;
  const at::Tensor packed = at::empty({columns * deepest}, at::kBFloat16);
  for (std::int64_t from = 0; from < b.depth; from += deepest) {
    for (std::int64_t first = 0; first < b.count; first += columns) {
      const Bf16Vectors left = a.part(0, a.count, from, deepest),
                        right = b.part(first, columns, from, deepest);
      PackedProduct(left, right, static_cast<Bf16*>(packed.data_ptr()))
          .run(to + first, row_stride, adds || from > 0);
    }
  }
}

}  // namespace vrwkv::kernels::cpu
