// SPDX-License-Identifier: Apache-2.0
// Bytes as an image file: refused as bad data, or pixels that can be resized; truncated ones too.
#include <cstdint>
#include <span>

#include "common/error.h"
#include "data/image/image.h"
#include "data/image/resize.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace vrwkv::data;
  for (const bool accept : {false, true}) {
    try {
      const ImageOptions options{
          .accept_truncated = accept, .resize_order = ResizeOrder::kPillow13, .most_pixels = 1 << 20};
      const Image image = decode_image(std::span(bytes, size), "fuzz", options);
      std::vector<std::uint8_t> planes(3 * 17 * 9);
      resize_bicubic(image, 17, 9, planes, options.resize_order);
    } catch (const vrwkv::DataError&) {
    }
  }
  return 0;
}
