// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/error.h"

namespace vrwkv::model {
namespace {

using ::testing::HasSubstr;

constexpr const char* kSmall = R"([model]
n_layer = 2
n_embd = 128
[vision]
tokens_per_image = 16
[vision.dinov2]
image_size = 32
patch_size = 8
width = 64
depth = 2
heads = 2
mlp_hidden = 128
registers = 1
)";

ModelConfig read(const std::string& text) {
  TomlDocument document = TomlDocument::parse(text, "model.toml");
  TomlReader root = document.root();
  return read_model_config(root.table("model"), root.table("vision"));
}

std::string refusal(const std::string& text) {
  try {
    read(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(ModelConfig, ReadsWhatIsThereAndFillsTheRest) {
  const ModelConfig config = read(kSmall);
  EXPECT_EQ(config.language_model.head_size, 64);
  EXPECT_EQ(config.language_model.vocabulary_size, 65536);
  EXPECT_EQ(config.language_model.decay_rank, 0);
  ASSERT_TRUE(config.vision.dinov2);
  EXPECT_EQ(config.vision.dinov2->grid(), 4);
  EXPECT_FALSE(config.vision.siglip);
  EXPECT_FALSE(config.vision.sam);
  EXPECT_EQ(config.vision.projector, ProjectorKind::kMlp);
  EXPECT_EQ(config.vision.feature_width(), 64);
}

TEST(ModelConfig, EmptyEncoderTablesArePublishedEncoders) {
  const ModelConfig config = read(
      "[model]\nn_layer = 12\nn_embd = 768\n[vision]\ntokens_per_image = "
      "1024\n[vision.dinov2]\n[vision.siglip]\n"
      "[vision.sam]\n");
  EXPECT_EQ(config.vision.grid(), 32);
  EXPECT_EQ(config.vision.feature_width(), 3200);
  EXPECT_EQ(config.vision.sam->global_blocks, (std::vector<std::int64_t>{2, 5, 8, 11}));
}

TEST(ModelConfig, NeedsNoVision) {
  const ModelConfig config = read("[model]\nn_layer = 1\nn_embd = 64\n");
  EXPECT_FALSE(config.vision.any());
  EXPECT_NO_THROW(validate(config));
}

TEST(ModelConfig, RanksFollowTheFormulaUnlessGiven) {
  struct Row {
    std::int64_t n_embd, decay, iclr, value, gate;
  };
  // reference: the original's own results
  for (const Row& row : {Row{768, 64, 64, 32, 128}, Row{1024, 64, 64, 32, 160}, Row{2048, 96, 96, 64, 256},
                         Row{2560, 96, 96, 64, 320}, Row{4096, 128, 128, 96, 480}}) {
    const auto filled = with_default_ranks({.n_layer = 1, .n_embd = row.n_embd});
    EXPECT_EQ(filled.decay_rank, row.decay) << row.n_embd;
    EXPECT_EQ(filled.iclr_rank, row.iclr) << row.n_embd;
    EXPECT_EQ(filled.value_rank, row.value) << row.n_embd;
    EXPECT_EQ(filled.gate_rank, row.gate) << row.n_embd;
  }
  EXPECT_EQ(with_default_ranks({.n_layer = 1, .n_embd = 1024, .gate_rank = 128}).gate_rank, 128);
}

TEST(ModelConfig, QuotesTheLineOfWhatDoesNotFit) {
  std::string text = kSmall;
  EXPECT_THAT(refusal(text.replace(text.find("n_embd = 128"), 12, "n_embd = 100")),
              HasSubstr("model.toml:3: key 'model.n_embd': 100 is not a multiple of head_size 64"));
  text = kSmall;
  EXPECT_THAT(refusal(text.replace(text.find("tokens_per_image = 16"), 21, "tokens_per_image = 8 ")),
              HasSubstr("model.toml:5: key 'vision.tokens_per_image': 8 is not a square"));
  text = kSmall;
  EXPECT_THAT(refusal(text.replace(text.find("tokens_per_image = 16"), 21, "tokens_per_image = 25")),
              HasSubstr("25 exceeds the 16 tokens"));
  text = kSmall;
  EXPECT_THAT(refusal(text.replace(text.find("depth = 2"), 9, "depth = 1")),
              HasSubstr("model.toml:10: key 'vision.dinov2.depth': 1 is below 2"));
  text = kSmall;
  EXPECT_THAT(refusal(text.replace(text.find("[vision.dinov2]"), 15, "[vision.dinov]")),
              HasSubstr("Did you mean 'dinov2'?"));
}

TEST(ModelConfig, NamesBothEncodersWhoseGridsDiffer) {
  const std::string sam = "[vision.sam]\nimage_size = 32\npatch_size = 8\n";
  EXPECT_THAT(refusal(kSmall + sam),
              HasSubstr("key 'vision.sam': its tokens form a 2 x 2 grid but those of dinov2 a 4 x 4"));
}

TEST(ModelConfig, RefusesWhatSamCannotFold) {
  const std::string sam = "[vision.sam]\nimage_size = 40\npatch_size = 8\n";
  EXPECT_THAT(refusal(kSmall + sam), HasSubstr("40 is not a multiple of twice patch_size 8"));
  const std::string block = "[vision.sam]\nimage_size = 64\npatch_size = 8\ndepth = 2\nglobal_blocks = [2]\n";
  EXPECT_THAT(refusal(kSmall + block), HasSubstr("there is no block 2 (depth is 2)"));
}

TEST(ModelConfig, ValidateNamesThePartWithoutAFile) {
  ModelConfig config = read(kSmall);
  config.vision.dinov2->heads = 3;
  try {
    validate(config);
    FAIL() << "nothing was refused";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("vision.dinov2: width: 64 is not a multiple of heads 3"));
  }
}

}  // namespace
}  // namespace vrwkv::model
