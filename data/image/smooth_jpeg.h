// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "data/image/decoders.h"
#include "data/image/jpeg_decompressor.h"

namespace vrwkv::data {

/// Whether scans of a progressive JPEG are missing, so that low frequencies are to be estimated from the
/// means of the blocks around. The decompressor has read all of the file.
bool lacks_scans(const jpeg_decompress_struct& info);

/// A progressive JPEG whose scans are partly missing as a sequential one that holds the estimates of
/// libjpeg-turbo 3.0.1 and later, which Pillow 10 to 13 bring along. (2.1, which Debian 12 has, takes wrong
/// neighbours near the upper and the lower end of components that are not subsampled, and in components two
/// blocks wide.)
///
/// The method: section K.8 of the JPEG standard (ITU-T T.81), widened to 5 x 5 blocks. A coefficient that is
/// zero and not known to its last bit becomes a weighted sum of the means (DC) of the blocks around; where no
/// coefficient but the means is known, they are smoothed, too.
/// @throws DataError when libjpeg gives up.
std::vector<std::uint8_t> smooth_jpeg(const EncodedImage& file);

}  // namespace vrwkv::data
