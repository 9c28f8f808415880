// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/tensor_file/tensor_file.h"

namespace vrwkv::tensor_file {

bool is_torch_file(std::string_view bytes);
/// torch.save's format before version 1.6: a bare pickle.
bool is_legacy_torch_file(std::string_view bytes);
/// The tensors of the saved dictionary; entries that are no tensors are left out. @throws as
/// TensorFile::open.
std::vector<StoredTensor> parse_torch_file(std::string_view bytes, const std::string& name);

}  // namespace vrwkv::tensor_file
