// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "common/tensor_file/tensor_file.h"

namespace vrwkv::tensor_file {

/// Eight bytes of header length, a JSON object, the data (huggingface.co/docs/safetensors).
bool is_safetensors_file(std::string_view bytes);
/// @throws as TensorFile::open.
Contents parse_safetensors_file(std::string_view bytes, const std::string& name);

}  // namespace vrwkv::tensor_file
