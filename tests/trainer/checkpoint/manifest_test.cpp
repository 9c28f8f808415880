// SPDX-License-Identifier: Apache-2.0
#include "trainer/checkpoint/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/crc32c.h"
#include "common/error.h"
#include "trainer/checkpoint/tensor_table.h"

namespace vrwkv::checkpoint {
namespace {

Manifest example() {
  Manifest manifest;
  manifest.program_version = "0.1.0";
  manifest.state = {.step = 1200,
                    .data_position = 9600,
                    .metrics_rows = 1200,
                    .bad_samples = 3,
                    .config_toml = "a = \"ü\"\n"};
  manifest.world_size = 2;
  manifest.frozen_crc32c = 0x00c0ffee;
  manifest.tensors = {{"w", {2, 3}, 6, true, 0}, {"b", {1, 1, 3}, 3, true, 16}, {"emb", {4, 2}, 8, false, 0}};
  manifest.files = {{"rank-0000.h5", 100, 0xdeadbeef, 0, 0, 65536},
                    {"rank-0001.h5", 90, 1, 1, 65536, 65536},
                    {"frozen.h5", 80, 2},
                    {"index.h5", 70, 3}};
  return manifest;
}

TEST(Manifest, ReadsBackWhatItWrote) {
  const Manifest manifest = example();
  const Manifest read = parse_manifest(to_json(manifest));
  EXPECT_EQ(read.format_version, kFormatVersion);
  EXPECT_EQ(read.program_version, "0.1.0");
  EXPECT_EQ(read.state.step, 1200);
  EXPECT_EQ(read.state.data_position, 9600);
  EXPECT_EQ(read.state.metrics_rows, 1200);
  EXPECT_EQ(read.state.bad_samples, 3);
  EXPECT_EQ(read.state.config_toml, "a = \"ü\"\n");
  EXPECT_EQ(read.world_size, 2);
  EXPECT_EQ(read.frozen_crc32c, 0x00c0ffeeU);
  EXPECT_EQ(read.tensors, manifest.tensors);
  EXPECT_EQ(read.files, manifest.files);
  EXPECT_EQ(read.bytes(), 340U);
  EXPECT_EQ(read.shards().size(), 2U);
  EXPECT_EQ(read.find_file("index.h5")->bytes, 70U);
  EXPECT_EQ(read.find_file("other.h5"), nullptr);
  EXPECT_EQ(read.tensors[0].bytes(), 6 * 12);
  EXPECT_EQ(read.tensors[2].bytes(), 8 * 4);
}

TEST(Manifest, NoticesEveryFlippedBitAndEveryCut) {
  const std::string text = to_json(example());
  for (std::size_t byte = 0; byte < text.size(); ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << bit));
      EXPECT_THROW(parse_manifest(damaged), CheckpointError) << "bit " << bit << " of byte " << byte;
    }
    EXPECT_THROW(parse_manifest(text.substr(0, byte)), CheckpointError) << "cut at " << byte;
  }
  EXPECT_THROW(parse_manifest(text + "\n"), CheckpointError);
}

TEST(Manifest, RefusesAnotherFormat) {
  Manifest newer = example();
  newer.format_version = kFormatVersion + 1;
  try {
    parse_manifest(to_json(newer));
    ADD_FAILURE() << "nothing was thrown";
  } catch (const CheckpointError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("format version 2 (this program reads 1)"));
  }
}

TEST(TensorTable, NamesEveryDifferenceAtOnce) {
  const std::vector<TensorEntry> stored{
      {"a", {2, 3}, 6, true, 0}, {"b", {4}, 4, true, 16}, {"c", {1}, 1, true, 32}, {"d", {5}, 5, false, 0}};
  const std::vector<TensorEntry> wanted{{"a", {3, 3}, 9, true, 0},
                                        {"c", {1}, 1, false, 0},
                                        {"d", {5}, 5, false, 0},
                                        {"e", {1}, 1, true, 16},
                                        {"f", {1}, 1, true, 32}};
  EXPECT_EQ(describe_differences(stored, wanted),
            "missing: e, f; surplus: b; other shape: a is (2, 3), not (3, 3); other role: c is trainable");
  EXPECT_EQ(describe_differences(stored, stored), "");
}

}  // namespace
}  // namespace vrwkv::checkpoint
