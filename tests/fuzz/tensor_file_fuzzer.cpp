// SPDX-License-Identifier: Apache-2.0
// Bytes as a PyTorch or safetensors file: refused with an error of ours, or tensors that can be read to their
// last byte.
#include <cstdint>
#include <string_view>

#include "common/error.h"
#include "common/tensor_file/tensor_file.h"

namespace {

std::size_t last_byte(const vrwkv::tensor_file::StoredTensor& tensor) {
  std::int64_t last = 0;
  for (std::size_t d = 0; d < tensor.shape.size(); ++d) last += (tensor.shape[d] - 1) * tensor.strides[d];
  return tensor.begin + static_cast<std::size_t>((last + 1) * tensor.element_bytes) - 1;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view view(reinterpret_cast<const char*>(bytes), size);
  try {
    for (const auto& tensor : vrwkv::tensor_file::parse(view, "fuzz").tensors) {
      if (tensor.numel() == 0) continue;
      if (tensor.begin >= size || last_byte(tensor) >= size) __builtin_trap();
    }
  } catch (const vrwkv::Error&) {
  }
  return 0;
}
