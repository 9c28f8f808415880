// SPDX-License-Identifier: Apache-2.0
#include "data/data_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/data_test_support.h"

namespace vrwkv::data {
namespace {

using test::message_of;
using ::testing::HasSubstr;

DataConfig read(const std::string& keys) {
  auto document = TomlDocument::parse("[data]\n" + keys, "/configs/run.toml");
  return read_data_config(document.root().table("data"));
}

TEST(DataConfig, HasDefaults) {
  const DataConfig config = read("file = \"mix.json\"\n");
  EXPECT_EQ(config.file, "/configs/mix.json");
  EXPECT_EQ(config.image_folder, "");
  EXPECT_EQ(config.vocabulary, "");
  EXPECT_EQ(config.eval_file, "");
  EXPECT_EQ(config.context_length, 2048);
  EXPECT_EQ(config.on_bad_sample, BadSamplePolicy::kStop);
  EXPECT_EQ(config.max_bad_samples, 0);
}

TEST(DataConfig, ReadsEveryKey) {
  const DataConfig config = read(
      "file = \"../mix.json\"\nimage_folder = \"images\"\nvocabulary = \"/v.txt\"\neval_file = "
      "\"test.json\"\n"
      "context_length = 512\non_bad_sample = \"skip\"\nmax_bad_samples = 7\norder = \"bijection\"\n");
  EXPECT_EQ(config.file, "/mix.json");
  EXPECT_EQ(config.image_folder, "/configs/images");
  EXPECT_EQ(config.eval_image_folder, "/configs/images");
  EXPECT_EQ(config.vocabulary, "/v.txt");
  EXPECT_EQ(config.eval_file, "/configs/test.json");
  EXPECT_EQ(config.context_length, 512);
  EXPECT_EQ(config.on_bad_sample, BadSamplePolicy::kSkip);
  EXPECT_EQ(config.max_bad_samples, 7);
  EXPECT_EQ(read("file = \"m\"\neval_image_folder = \"other\"\n").eval_image_folder, "/configs/other");
}

TEST(DataConfig, IsStrict) {
  EXPECT_THAT(message_of<ConfigError>([] { read("\n"); }), HasSubstr("'data.file'"));
  EXPECT_THAT(message_of<ConfigError>([] { read("file = \"m\"\nimages = \"x\"\n"); }),
              HasSubstr("unknown key 'data.images'"));
  EXPECT_THAT(message_of<ConfigError>([] { read("file = \"m\"\ncontext_length = 0\n"); }),
              HasSubstr("out of range"));
  EXPECT_THAT(message_of<ConfigError>([] { read("file = \"m\"\non_bad_sample = \"zero\"\n"); }),
              HasSubstr("none of"));
  EXPECT_THAT(message_of<ConfigError>([] { read("file = \"m\"\norder = \"random\"\n"); }),
              HasSubstr("none of"));
}

}  // namespace
}  // namespace vrwkv::data
