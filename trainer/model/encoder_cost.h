// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "trainer/model/model_config.h"

namespace vrwkv::model {

/// Floating-point operations (a multiply-add counts two) that the encoders spend on one image: their matrix
/// products and attention; norms, activations and relative positions, less than one in a hundred, are left
/// out.
double encoder_flops(const VisionConfig& config);

}  // namespace vrwkv::model
