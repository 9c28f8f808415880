// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "data/image/image.h"

namespace vrwkv::data {

/// Resizes as Pillow before version 13 does with `image.resize((width, height), Image.BICUBIC)`, bit for bit:
/// the anti-aliased cubic with a = -0.5, weights in 22-bit fixed point, the horizontal pass first, rounded to
/// 8 bits before the vertical pass; a pass that changes nothing is skipped. An image more than 100 times as
/// high as wide that shrinks in height takes the vertical pass first. kPillow13: as Pillow 13 orders the
/// passes.
///
/// @param planes  (3, height, width), written in full: the channels one after the other.
/// @throws ShapeError when a size is below 1, or `image` or `planes` has another length than its size says.
void resize_bicubic(const Image& image, std::int64_t width, std::int64_t height,
                    std::span<std::uint8_t> planes, ResizeOrder order = ResizeOrder::kHorizontalFirst);

}  // namespace vrwkv::data
