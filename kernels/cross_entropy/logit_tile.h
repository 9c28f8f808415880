// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>

namespace vrwkv::kernels {

/// What head_cross_entropy() holds of the logits at once: rows of `hidden` by entries of the vocabulary.
struct LogitTileSizes {
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t bytes;  ///< all temporaries of a tile, but for those of its products
};

/// What the products of a tile are made of. The gradient of the logits is rounded to bf16 for products of it.
enum class LogitProducts { kFp32, kBf16, kBf16Widened };

/// @param type  of the activations. A CPU that has no products of bf16 widens it first.
LogitProducts logit_products(at::ScalarType type, at::DeviceType device);

/// The more rows a tile has, the less often the head's gradient is read and written, and the more columns,
/// the less often that of `hidden`. Where all columns fit, logits are made once; otherwise once more for the
/// gradient, because this needs the sum over all columns first. A CPU has few FLOPs beside its bandwidth, so
/// its tiles have all columns, unless it widens them; a GPU's are near squares.
LogitTileSizes logit_tile_sizes(std::int64_t rows, std::int64_t vocabulary, std::int64_t channels,
                                LogitProducts products, at::DeviceType device);

}  // namespace vrwkv::kernels
