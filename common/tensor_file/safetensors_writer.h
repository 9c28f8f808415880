// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/output_file.h"
#include "common/tensor_file/tensor_writer.h"

namespace vrwkv::tensor_file {

class SafetensorsWriter final : public TensorWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<TensorHeader>& tensors,
                    OutputType type, const std::map<std::string, std::string>& metadata);
  void write(std::span<const std::byte> bytes) override;
  void finish() override;

 private:
  OutputFile file_;
  std::uint64_t end_ = 0;  ///< where the file must end
};

}  // namespace vrwkv::tensor_file
