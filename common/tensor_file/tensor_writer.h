// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace vrwkv::tensor_file {

enum class OutputType { kFloat32, kFloat16, kBFloat16 };

std::int64_t element_bytes(OutputType type);

/// A tensor that will be written; contiguous.
struct TensorHeader {
  std::string name;
  std::vector<std::int64_t> shape;

  std::int64_t numel() const;
};

/// Writes a file of tensors piece by piece, so that a model never has to be in memory. The file appears under
/// its name when it is whole.
class TensorWriter {
 public:
  enum class Format {
    kTorch,        ///< torch.save's zip format of an OrderedDict
    kSafetensors,  ///< with `metadata`
  };
  /// @param tensors  all of them, in the order in which their bytes will come.
  /// @throws IoError.
  static std::unique_ptr<TensorWriter> create(Format format, const std::filesystem::path& path,
                                              std::vector<TensorHeader> tensors, OutputType type,
                                              const std::map<std::string, std::string>& metadata = {});
  virtual ~TensorWriter() = default;

  /// The next bytes of the next tensor, in row-major order; a piece does not reach into the following tensor.
  /// @throws IoError (a full disk among others).
  virtual void write(std::span<const std::byte> bytes) = 0;
  /// After the last byte. @throws IoError; the old file then stays.
  virtual void finish() = 0;
};

}  // namespace vrwkv::tensor_file
