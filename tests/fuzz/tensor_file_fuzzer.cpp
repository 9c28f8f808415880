// SPDX-License-Identifier: Apache-2.0
// Bytes as a PyTorch or safetensors file: refused with an error of ours, or tensors that can be read to their
// last byte.
#include <cstdint>
#include <string_view>

#include "common/error.h"
#include "common/tensor_file/tensor_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view view(reinterpret_cast<const char*>(bytes), size);
  try {
    for (const auto& tensor : vrwkv::tensor_file::parse(view, "fuzz").tensors) {
      if (tensor.begin > size || tensor.span_bytes() > size - tensor.begin) __builtin_trap();
      if (static_cast<std::size_t>(tensor.numel() * tensor.element_bytes) > size) __builtin_trap();
    }
  } catch (const vrwkv::Error&) {
  }
  return 0;
}
