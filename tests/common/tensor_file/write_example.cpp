// SPDX-License-Identifier: Apache-2.0
// Writes example.FORMAT of every format and type into a folder: 'counted' (3, 5) holds 0 .. 14, 'empty' (0,
// 4) nothing, 'scalar' () 7, 'long.name' (70) 0 .. 69. Usage: write_example FOLDER
#include <cstring>
#include <string>

#include "common/tensor_file/tensor_writer.h"

namespace {

using vrwkv::tensor_file::OutputType;
using vrwkv::tensor_file::TensorWriter;

/// Of small integers, which every type holds exactly.
std::string bits_of(OutputType type, int value) {
  const auto number = static_cast<float>(value);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &number, sizeof bits);
  if (type == OutputType::kFloat32) return {reinterpret_cast<const char*>(&bits), 4};
  auto half = static_cast<std::uint16_t>(bits >> 16);
  if (type == OutputType::kFloat16)
    half = value == 0 ? 0
                      : static_cast<std::uint16_t>((((bits >> 23) - 127 + 15) << 10) | ((bits >> 13) & 1023));
  return {reinterpret_cast<const char*>(&half), 2};
}

void write_values(TensorWriter& writer, OutputType type, int first, int count) {
  std::string bytes;
  for (int i = first; i < first + count; ++i) bytes += bits_of(type, i);
  writer.write(std::as_bytes(std::span(bytes)));
}

void write_file(const std::string& path, TensorWriter::Format format, OutputType type) {
  const auto writer = TensorWriter::create(
      format, path, {{"counted", {3, 5}}, {"empty", {0, 4}}, {"scalar", {}}, {"long.name", {70}}}, type,
      {{"format", "pt"}});
  write_values(*writer, type, 0, 10);
  write_values(*writer, type, 10, 5);
  write_values(*writer, type, 7, 1);
  write_values(*writer, type, 0, 70);
  writer->finish();
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  for (const auto& [name, type] :
       {std::pair("fp32", OutputType::kFloat32), std::pair("fp16", OutputType::kFloat16),
        std::pair("bf16", OutputType::kBFloat16)}) {
    write_file(folder + "/" + name + ".pth", TensorWriter::Format::kTorch, type);
    write_file(folder + "/" + name + ".safetensors", TensorWriter::Format::kSafetensors, type);
  }
}
