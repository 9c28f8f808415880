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
  EXPECT_EQ(config.sources.at(0).file, "/configs/mix.json");
  EXPECT_THAT(config.sources.at(0).image_folder, ::testing::IsEmpty());
  EXPECT_EQ(config.vocabulary, "");
  EXPECT_EQ(config.eval_file, "");
  EXPECT_EQ(config.context_length, 2048);
  EXPECT_EQ(config.on_bad_sample, BadSamplePolicy::kReplace);
  EXPECT_EQ(config.max_bad_samples, 1000);
  EXPECT_EQ(config.quarantine, "");
  EXPECT_EQ(config.threads, 0);
  EXPECT_EQ(config.prefetch_bytes, 1 << 30);
}

TEST(DataConfig, ReadsEveryKey) {
  const DataConfig config = read(
      "file = \"../mix.json\"\nimage_folder = \"images\"\nvocabulary = \"/v.txt\"\neval_file = "
      "\"test.json\"\n"
      "context_length = 512\non_bad_sample = \"skip\"\nmax_bad_samples = 7\norder = \"bijection\"\n");
  EXPECT_EQ(config.sources.at(0).file, "/mix.json");
  EXPECT_EQ(config.sources.at(0).image_folder, ImagePlaces{"/configs/images"});
  EXPECT_EQ(config.eval_image_folder, ImagePlaces{"/configs/images"});
  EXPECT_EQ(config.vocabulary, "/v.txt");
  EXPECT_EQ(config.eval_file, "/configs/test.json");
  EXPECT_EQ(config.context_length, 512);
  EXPECT_EQ(config.on_bad_sample, BadSamplePolicy::kSkip);
  EXPECT_EQ(config.max_bad_samples, 7);
  EXPECT_EQ(read("file = \"m\"\neval_image_folder = \"other\"\n").eval_image_folder,
            ImagePlaces{"/configs/other"});
}

TEST(DataConfig, ReadsSeveralSources) {
  const DataConfig config = read(
      "image_folder = \"shared\"\n[[data.source]]\nfile = \"a.json\"\n"
      "[[data.source]]\nfile = \"b.json\"\nimage_folder = \"own\"\nweight = 0.5\n");
  EXPECT_EQ(config.sources, (std::vector<DataSource>{{"/configs/a.json", {"/configs/shared"}, 1},
                                                     {"/configs/b.json", {"/configs/own"}, 0.5}}));
  EXPECT_EQ(config.eval_image_folder, ImagePlaces{"/configs/shared"});
  EXPECT_THAT(message_of<ConfigError>([] { read("file = \"m\"\n[[data.source]]\nfile = \"a\"\n"); }),
              HasSubstr("'data.file': stands beside [[data.source]]"));
  EXPECT_THAT(message_of<ConfigError>([] { read("source = []\n"); }), HasSubstr("is empty"));
  EXPECT_THAT(message_of<ConfigError>([] { read("[[data.source]]\nweight = 1\n"); }),
              HasSubstr("'data.source[0].file'"));
  EXPECT_THAT(message_of<ConfigError>([] { read("[[data.source]]\nfile = \"a\"\nweight = 0\n"); }),
              HasSubstr("out of range"));
}

TEST(DataConfig, ReadsSeveralPlacesOfImages) {
  const std::string text = "file = \"m\"\nimage_folder = [\"coco-*.tar\", \"/gqa\"]\n";
  const ImagePlaces places = {"/configs/coco-*.tar", "/gqa"};
  EXPECT_EQ(read(text).sources.at(0).image_folder, places);
  EXPECT_EQ(read(text).eval_image_folder, places);
  // What a run directory keeps reads back to the same.
  auto document = TomlDocument::parse("[data]\n" + text, "/configs/run.toml");
  read_data_config(document.root().table("data"));
  auto again = TomlDocument::parse(document.resolved_toml(), "/elsewhere/config.toml");
  EXPECT_EQ(read_data_config(again.root().table("data")).sources.at(0).image_folder, places);
  EXPECT_THAT(message_of<ConfigError>([] { read("file = \"m\"\nimage_folder = [1]\n"); }),
              HasSubstr("'data.image_folder': is a TOML array but a path (a string), or an array of paths"));
}

TEST(DataConfig, ReadsHowImagesBecomeSquares) {
  EXPECT_EQ(read("file = \"m\"\n").images.resize_mode, ResizeMode::kSquash);
  EXPECT_EQ(read("file = \"m\"\nresize_mode = \"pad\"\n").images.resize_mode, ResizeMode::kPad);
  EXPECT_THAT(message_of<ConfigError>([] { read("file = \"m\"\nresize_mode = \"crop\"\n"); }),
              HasSubstr("none of"));
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
