// SPDX-License-Identifier: Apache-2.0
// Files that torch.save and safetensors wrote (tools/fixtures/tensor_files.py): every tensor there holds
// 0, 1, 2, ... in row-major order.
#include "common/tensor_file/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/error.h"
#include "common/tensor_file/tensor_writer.h"

namespace vrwkv::tensor_file {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(VRWKV_TEST_FIXTURES) / "tensor_file" / name;
}

double value_at(const TensorFile& file, const StoredTensor& tensor, std::int64_t place) {
  const char* address = static_cast<const char*>(file.data(tensor)) + place * tensor.element_bytes;
  const auto as = [&](auto value) {
    std::memcpy(&value, address, sizeof value);
    return value;
  };
  switch (tensor.type) {
    case ElementType::kFloat64:
      return as(0.0);
    case ElementType::kFloat32:
      return as(0.0F);
    case ElementType::kFloat16: {
      const auto bits = as(std::uint16_t{0});  // all values here are normal numbers or 0
      return bits == 0 ? 0 : std::ldexp(1024 + (bits & 1023), (bits >> 10) - 25);
    }
    case ElementType::kBFloat16: {
      const std::uint32_t bits = static_cast<std::uint32_t>(as(std::uint16_t{0})) << 16;
      float value = 0;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
    case ElementType::kOther:
      return tensor.element_bytes == 8 ? static_cast<double>(as(std::int64_t{0})) : as(std::uint8_t{0});
  }
  return -1;
}

const StoredTensor& find(const TensorFile& file, const std::string& name) {
  const auto found = std::find_if(file.tensors().begin(), file.tensors().end(),
                                  [&](const StoredTensor& tensor) { return tensor.name == name; });
  if (found == file.tensors().end()) throw std::runtime_error("no tensor " + name);
  return *found;
}

/// The values in row-major order, whatever the strides.
std::vector<double> values(const TensorFile& file, const StoredTensor& tensor) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    std::int64_t rest = i, place = 0;
    for (std::size_t d = tensor.shape.size(); d > 0; --d) {
      place += rest % tensor.shape[d - 1] * tensor.strides[d - 1];
      rest /= tensor.shape[d - 1];
    }
    result.push_back(value_at(file, tensor, place));
  }
  return result;
}

void expect_counted(const TensorFile& file, const std::string& name, const std::vector<std::int64_t>& shape) {
  const StoredTensor& tensor = find(file, name);
  EXPECT_EQ(tensor.shape, shape) << name;
  std::vector<double> expected(static_cast<std::size_t>(tensor.numel()));
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<double>(i);
  EXPECT_EQ(values(file, tensor), expected) << name;
}

TEST(TorchFile, ReadsAModulesStateDict) {
  const TensorFile file = TensorFile::open(fixture("module.pth"));
  ASSERT_EQ(file.tensors().size(), 4U);
  EXPECT_EQ(file.tensors()[0].name, "0.weight");
  expect_counted(file, "0.weight", {2, 3});
  expect_counted(file, "0.bias", {2});
  expect_counted(file, "1.weight", {2});
  expect_counted(file, "1.bias", {2});
}

class AnyFormat : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Formats, AnyFormat, ::testing::Values("types.pth", "types.safetensors"),
                         [](const auto& test) { return std::string(test.param).substr(6); });

TEST_P(AnyFormat, ReadsEveryType) {
  const TensorFile file = TensorFile::open(fixture(GetParam()));
  const std::map<std::string, ElementType> types = {
      {"float64", ElementType::kFloat64}, {"float32", ElementType::kFloat32},
      {"float16", ElementType::kFloat16}, {"bfloat16", ElementType::kBFloat16},
      {"int64", ElementType::kOther},     {"uint8", ElementType::kOther}};
  EXPECT_EQ(file.tensors().size(), types.size());
  for (const auto& [name, type] : types) {
    EXPECT_EQ(find(file, name).type, type) << name;
    expect_counted(file, name, {2, 3});
  }
}

TEST(SafetensorsFile, KeepsMetadata) {
  const TensorFile file = TensorFile::open(fixture("types.safetensors"));
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"language", "日本語"}}));
}

TEST(SafetensorsFile, TextsThatAreNoUtf8AreWrittenAsReplacements) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "odd.safetensors";
  const auto writer = TensorWriter::create(TensorWriter::Format::kSafetensors, path, {{"empty", {0}}},
                                           OutputType::kFloat32, {{"source", "run-\xff"}});
  writer->finish();
  EXPECT_EQ(TensorFile::open(path).metadata().at("source"), "run-\uFFFD");
}

class Views : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Devices, Views, ::testing::Values("views.pth", "views_cuda.pth"),
                         [](const auto& test) { return std::to_string(test.index); });

TEST_P(Views, KeepOffsetsAndStridesInSharedStorages) {
  const TensorFile file = TensorFile::open(fixture(GetParam()));
  expect_counted(file, "first", {2, 3});
  expect_counted(file, "second", {3, 4});
  EXPECT_EQ(find(file, "transposed").strides, (std::vector<std::int64_t>{1, 3}));
  expect_counted(file, "transposed", {3, 4});
  expect_counted(file, "column", {3});
  expect_counted(file, "parameter", {2, 2});
  expect_counted(file, "scalar", {});
  expect_counted(file, "empty", {0});
}

TEST(TorchFile, LooksUnderTheUsualKeys) {
  const TensorFile file = TensorFile::open(fixture("nested.pth"));
  ASSERT_EQ(file.tensors().size(), 1U);
  expect_counted(file, "weight", {2});
}

TEST(TorchFile, LeavesOutWhatIsNoTensor) {
  EXPECT_EQ(TensorFile::open(fixture("function.pth")).tensors().size(), 1U);
}

TEST(TorchFile, ReadsNewerPickles) {
  expect_counted(TensorFile::open(fixture("protocol4.pth")), "weight", {2});
}

std::string refusal(const std::string& name) {
  try {
    TensorFile::open(fixture(name));
  } catch (const Error& error) {
    return std::to_string(static_cast<int>(error.exit_code())) + " " + error.what();
  }
  return "";
}

TEST(TorchFile, CallsNothing) {
  EXPECT_THAT(refusal("set.pth"),
              ::testing::AllOf(HasSubstr("4 "), HasSubstr("would call"), HasSubstr("set")));
}

TEST(TensorFile, SaysWhatItCannotRead) {
  EXPECT_THAT(refusal("list.pth"), HasSubstr("holds no dictionary of tensors"));
  EXPECT_THAT(refusal("legacy.pth"), HasSubstr("before version 1.6"));
  EXPECT_THAT(refusal("../image/jpeg_8x8.jpg"), HasSubstr("neither a PyTorch file"));
  EXPECT_THAT(refusal("nowhere.pth"), ::testing::AllOf(HasSubstr("2 "), HasSubstr("No such file")));
}

}  // namespace
}  // namespace vrwkv::tensor_file
