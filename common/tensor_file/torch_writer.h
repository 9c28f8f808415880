// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/tensor_file/tensor_writer.h"
#include "common/tensor_file/zip_writer.h"

namespace vrwkv::tensor_file {

/// torch.save's zip format: data.pkl with an OrderedDict of tensors, then one entry for each tensor's bytes.
class TorchWriter final : public TensorWriter {
 public:
  TorchWriter(const std::filesystem::path& path, std::vector<TensorHeader> tensors, OutputType type);
  void write(std::span<const std::byte> bytes) override;
  void finish() override;

 private:
  std::uint64_t bytes_of(std::size_t tensor) const;
  /// Opens the entry of the next tensor; tensors without elements get theirs at once.
  void begin_tensor();

  std::vector<TensorHeader> tensors_;
  OutputType type_;
  ZipWriter archive_;
  std::size_t current_ = 0;
  std::uint64_t written_ = 0;  ///< of the current tensor
};

}  // namespace vrwkv::tensor_file
