// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "kernels/named_tensor.h"
#include "sharding/flat_parameters.h"
#include "trainer/checkpoint/manifest.h"

/// The tensors of a model as a manifest lists them, and how two such lists differ.
namespace vrwkv::checkpoint {

/// Trainable tensors in flat order, then the frozen ones in the given order.
std::vector<TensorEntry> tensor_table(const sharding::FlatParameters& parameters,
                                      const std::vector<NamedTensor>& frozen);

/// Every tensor that `stored` or `wanted` lacks, or that has another shape or trains in one only, by name:
/// "missing: a, b; surplus: c; other shape: d is (2, 3), not (3, 3)". Empty when none does. Offsets may
/// differ.
std::string describe_differences(const std::vector<TensorEntry>& stored,
                                 const std::vector<TensorEntry>& wanted);

}  // namespace vrwkv::checkpoint
