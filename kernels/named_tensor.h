// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace vrwkv {

/// A tensor under its state_dict name. The tensor is a shared handle: rebinding its data is seen by every
/// holder.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

}  // namespace vrwkv
