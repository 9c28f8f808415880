// SPDX-License-Identifier: Apache-2.0
// Damaged files: every one is refused with an error of ours, or read as tensors that lie inside the file.
#include <gtest/gtest.h>

#include <numeric>

#include "common/error.h"
#include "common/file_system.h"
#include "common/random.h"
#include "common/tensor_file/tensor_file.h"

namespace vrwkv::tensor_file {
namespace {

/// 1 when the bytes were accepted. Whatever was accepted lies inside them.
int parse_checked(const std::string& bytes) {
  Contents contents;
  try {
    contents = parse(bytes, "damaged");
  } catch (const Error&) {
    return 0;
  }
  for (const StoredTensor& tensor : contents.tensors) {
    EXPECT_LE(tensor.begin + tensor.span_bytes(), bytes.size()) << tensor.name;
    EXPECT_LE(tensor.numel() * tensor.element_bytes, static_cast<std::int64_t>(bytes.size())) << tensor.name;
  }
  return 1;
}

class Damage : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string bytes_ =
      read_file(std::filesystem::path(VRWKV_TEST_FIXTURES) / "tensor_file" / GetParam());
};
INSTANTIATE_TEST_SUITE_P(Files, Damage,
                         ::testing::Values("module.pth", "views.pth", "types.safetensors", "protocol4.pth"),
                         [](const auto& test) {
                           std::string name = test.param;
                           return name.substr(0, name.find('.'));
                         });

TEST_P(Damage, EveryTruncationIsRefused) {
  ASSERT_EQ(parse_checked(bytes_), 1);
  for (std::size_t length = 0; length < bytes_.size(); ++length)
    EXPECT_EQ(parse_checked(bytes_.substr(0, length)), 0) << length;
}

TEST_P(Damage, EveryChangedByteIsRefusedOrHarmless) {
  for (std::size_t place = 0; place < bytes_.size(); ++place)
    for (const int change : {0x01, 0x80, 0xff}) {
      std::string changed = bytes_;
      changed[place] = static_cast<char>(changed[place] ^ change);
      parse_checked(changed);
    }
}

TEST_P(Damage, RunsOfRandomBytesAreRefusedOrHarmless) {
  std::uint64_t state = 7;
  for (int round = 0; round < 3000; ++round) {
    std::string changed = bytes_;
    const std::size_t begin = mix64(++state) % changed.size();
    const std::size_t end = std::min(changed.size(), begin + 1 + mix64(++state) % 12);
    for (std::size_t i = begin; i < end; ++i) changed[i] = static_cast<char>(mix64(++state));
    parse_checked(changed);
  }
}

}  // namespace
}  // namespace vrwkv::tensor_file
