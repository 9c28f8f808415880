// SPDX-License-Identifier: Apache-2.0
#include "trainer/trainer_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <sstream>

#include "common/error.h"
#include "tests/trainer/tiny_run.h"

namespace vrwkv::trainer {
namespace {

using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// tests/trainer/tiny_run.h's configuration with one key changed, and the line on which that key is now.
struct Edited {
  std::string text;
  int line = 0;
};

/// @param value  the key's new value; none takes the key out.
Edited edited(const std::string& table, const std::string& key, const std::optional<std::string>& value) {
  Edited result;
  std::istringstream old(test::tiny_run_toml());
  bool in_table = false;
  int line_number = 0;
  const auto put = [&](const std::string& line) {
    result.text += line + "\n";
    return ++line_number;
  };
  for (std::string line; std::getline(old, line);) {
    if (in_table && line.starts_with(key + " =")) continue;
    put(line);
    if (line.starts_with("[")) in_table = line == "[" + table + "]";
    if (in_table && line.starts_with("[") && value) result.line = put(key + " = " + *value);
  }
  return result;
}

TrainerConfig read(const std::string& text) {
  return read_trainer_config(TomlDocument::parse(text, "/cfg/run.toml"));
}

TEST(TrainerConfig, ReadsEveryTable) {
  const TrainerConfig config = read(test::tiny_run_toml());
  EXPECT_EQ(config.model.language_model.n_layer, 2);
  EXPECT_EQ(config.model.vision.tokens_per_image, 4);
  EXPECT_EQ(config.data.sources.at(0).file, "/cfg/mix.json");
  EXPECT_EQ(config.train.micro_batches, 12);
  EXPECT_THAT(config.train.trainable.names(), ElementsAre("projector", "blocks", "head"));
  EXPECT_THAT(config.train.recompute, ElementsAre(false, false));
  EXPECT_EQ(config.train.seed, 3U);
  EXPECT_EQ(config.optimizer.schedule.initial, 1e-2);
  EXPECT_EQ(config.optimizer.schedule.final, 1e-3);
  EXPECT_EQ(config.optimizer.schedule.steps, 6);
  EXPECT_EQ(config.optimizer.beta2, 0.99);
  EXPECT_EQ(config.bucket_elements, 65536);
  EXPECT_EQ(config.checkpoint.every_steps, 2);
  EXPECT_EQ(config.run.directory, "/cfg/run");
}

TEST(TrainerConfig, AGlobalBatchMayBeInTokens) {
  std::string text = test::tiny_run_toml();
  const std::string sizes = "global_batch_size = 24\nmicro_batch_size = 2\n";
  text.replace(text.find(sizes), sizes.size(), "global_batch_tokens = 5000\nmicro_batches = 7\n");
  const TrainerConfig config = read(text);
  EXPECT_EQ(config.train.global_batch_size, 0);
  EXPECT_EQ(config.train.global_batch_tokens, 5000);
  EXPECT_EQ(config.train.micro_batches, 7);
  EXPECT_EQ(read(config.resolved_toml).train.micro_batches, 7) << "what is stored reads back";
  text.erase(text.find("micro_batches = 7\n"), 18);
  EXPECT_THAT(message_of<ConfigError>([&] { read(text); }), HasSubstr("micro_batches': is missing"));
}

TEST(TrainerConfig, TheRunDirectoryOfTheCommandLineWins) {
  const auto config =
      read_trainer_config(TomlDocument::parse(test::tiny_run_toml(), "/cfg/run.toml"), "/elsewhere/x/..");
  EXPECT_EQ(config.run.directory.lexically_normal(), "/elsewhere/");
}

TEST(TrainerConfig, RecomputeNamesAllNoneOrListedBlocks) {
  EXPECT_THAT(read(edited("train", "recompute", "\"all\"").text).train.recompute, ElementsAre(true, true));
  const std::string listed = edited("train", "recompute", "\"listed\"\nrecompute_blocks = [1]").text;
  EXPECT_THAT(read(listed).train.recompute, ElementsAre(false, true));
}

TEST(TrainerConfig, APenaltyIsChosenByName) {
  EXPECT_EQ(read(test::tiny_run_toml()).train.l2wrap, L2Wrap::kSupervised);
  EXPECT_EQ(read(edited("train", "l2wrap", "\"off\"\nkept_states_mb = 3").text).train.kept_states_bytes,
            3'000'000);
  EXPECT_EQ(read(edited("train", "l2wrap", "\"all\"").text).train.l2wrap, L2Wrap::kAll);
  EXPECT_EQ(read(edited("train", "l2wrap", "\"off\"").text).train.l2wrap, L2Wrap::kOff);
}

TEST(TrainerConfig, WhatItResolvedReadsBackToItself) {
  const std::string text = edited("train", "recompute", "\"listed\"\nrecompute_blocks = [0]").text;
  const TrainerConfig first = read(text);
  const TrainerConfig again =
      read_trainer_config(TomlDocument::parse(first.resolved_toml, "/another/place/config.toml"));
  EXPECT_EQ(again.resolved_toml, first.resolved_toml);
  EXPECT_EQ(again.numeric_keys, first.numeric_keys);
  EXPECT_EQ(again.run.directory, first.run.directory);
  EXPECT_EQ(again.train.recompute, first.train.recompute);
  EXPECT_EQ(again.optimizer.schedule.initial, first.optimizer.schedule.initial);
}

struct Mistake {
  std::string table;
  std::string key;
  std::string value;
  std::string complaint;
};

class TrainerConfigMistakes : public ::testing::TestWithParam<Mistake> {};

TEST_P(TrainerConfigMistakes, AreNamedWithFileAndLine) {
  const auto& [table, key, value, complaint] = GetParam();
  const Edited file = edited(table, key, value);
  const std::string message = message_of<ConfigError>([&] { read(file.text); });
  EXPECT_THAT(message, StartsWith(fmt::format("/cfg/run.toml:{}: key '{}.{}': ", file.line, table, key)));
  EXPECT_THAT(message, HasSubstr(complaint));
}

std::vector<Mistake> mistakes() {
  const std::string string = "is a TOML string", integer = "is a TOML integer", range = "out of range";
  return {
      {"train", "stage", "3", range},
      {"train", "stage", "\"two\"", string},
      {"train", "steps", "0", range},
      {"train", "steps", "1.5", "is a TOML floating-point"},
      {"train", "global_batch_size", "0", range},
      {"train", "global_batch_size", "true", "is a TOML boolean"},
      {"train", "micro_batch_size", "-1", range},
      {"train", "micro_batch_size", "5", "5 does not divide global_batch_size 24"},
      {"train", "global_batch_tokens", "-1", range},
      {"train", "global_batch_size", "4\nglobal_batch_tokens = 100", "stands beside global_batch_tokens"},
      {"train", "micro_batches", "3", "is only read with global_batch_tokens"},
      {"train", "trainable", "[\"projctor\"]", "'projctor' is none of"},
      {"train", "trainable", "\"projector\"", string},
      {"train", "trainable", "[]", "is empty (nothing would learn)"},
      {"train", "l2wrap", "\"supervise\"", "Did you mean 'supervised'?"},
      {"train", "l2wrap", "1", integer},
      {"train", "gradient_clip", "-0.5", range},
      {"train", "gradient_clip", "nan", range},
      {"train", "gradient_clip", "\"1\"", string},
      {"train", "recompute", "\"some\"", "is none of"},
      {"train", "recompute_blocks", "[0]", "is only read with recompute"},
      {"train", "seed", "-1", range},
      {"train", "seed", "\"x\"", string},
      {"optimizer", "learning_rate", "-1e-3", range},
      {"optimizer", "learning_rate", "inf", range},
      {"optimizer", "learning_rate", "\"1e-3\"", string},
      {"optimizer", "final_learning_rate", "2000.0", range},
      {"optimizer", "warmup_steps", "-1", range},
      {"optimizer", "warmup_steps", "0.5", "is a TOML floating-point"},
      {"optimizer", "beta1", "1.0", range},
      {"optimizer", "beta2", "1", range},
      {"optimizer", "epsilon", "0.0", range},
      {"optimizer", "weight_decay", "-0.1", range},
      {"sharding", "zero_stage", "2", range},
      {"sharding", "bucket_elements", "1", range},
      {"checkpoint", "every_steps", "-1", range},
      {"checkpoint", "keep_last", "0", range},
      {"run", "directory", "\"\"", "is empty"},
      {"run", "directory", "5", integer},
      {"run", "device", "\"gpu\"", "is none of"},
      {"run", "threads_per_rank", "0", range},
      {"data", "threads", "-1", range},
      {"run", "wait_limit_seconds", "0", range},
      {"data", "context_length", "0", range},
      {"data", "on_bad_sample", "\"skp\"", "Did you mean 'skip'?"},
      {"model", "n_layer", "0", range},
      {"model", "initial_model", "5", integer},
      {"vision", "tokens_per_image", "5", "is not a square number"},
  };
}

INSTANTIATE_TEST_SUITE_P(Keys, TrainerConfigMistakes, ::testing::ValuesIn(mistakes()),
                         [](const auto& tested) {
                           return fmt::format("{}_{}_{}", tested.param.table, tested.param.key, tested.index);
                         });

TEST(TrainerConfig, AMisspeltKeyOfEveryTableIsToldTheRightName) {
  const std::vector<std::pair<std::string, std::string>> keys = {
      {"model", "n_layers"},        {"vision", "tokens_per_images"},
      {"data", "image_folders"},    {"train", "stepss"},
      {"optimizer", "beta_2"},      {"sharding", "bucket_element"},
      {"checkpoint", "keep_lasts"}, {"run", "device_"}};
  for (const auto& [table, key] : keys) {
    const Edited file = edited(table, key, "1");
    const std::string message = message_of<ConfigError>([&, &text = file.text] { read(text); });
    EXPECT_THAT(message,
                StartsWith(fmt::format("/cfg/run.toml:{}: unknown key '{}.{}'", file.line, table, key)));
    EXPECT_THAT(message, HasSubstr("Did you mean '")) << key;
  }
}

TEST(TrainerConfig, AMisspeltTableIsToldTheRightName) {
  const std::string text = test::tiny_run_toml() + "[optimiser]\nbeta1 = 0.5\n";
  EXPECT_THAT(message_of<ConfigError>([&] { read(text); }), HasSubstr("Did you mean 'optimizer'?"));
  // In place of the right one, whose keys are missing then.
  for (const std::string table : {"model", "vision", "data", "train", "optimizer"}) {
    std::string renamed = test::tiny_run_toml();
    const std::size_t place = renamed.find("[" + table + "]");
    ASSERT_NE(place, std::string::npos) << table;
    renamed.insert(place + 1 + table.size(), "s");
    const auto line =
        1 + std::count(renamed.begin(), renamed.begin() + static_cast<std::ptrdiff_t>(place), '\n');
    EXPECT_THAT(message_of<ConfigError>([&] { read(renamed); }),
                ::testing::AllOf(StartsWith(fmt::format("/cfg/run.toml:{}: unknown key '{}s'", line, table)),
                                 HasSubstr(fmt::format("Did you mean '{}'?", table))));
  }
}

TEST(TrainerConfig, RequiredKeysMustBeThere) {
  const std::vector<std::pair<std::string, std::string>> keys = {{"model", "n_layer"},
                                                                 {"model", "n_embd"},
                                                                 {"vision", "tokens_per_image"},
                                                                 {"data", "file"},
                                                                 {"train", "stage"},
                                                                 {"train", "steps"},
                                                                 {"train", "global_batch_size"},
                                                                 {"train", "micro_batch_size"},
                                                                 {"optimizer", "learning_rate"},
                                                                 {"run", "directory"}};
  for (const auto& [table, key] : keys) {
    const Edited file = edited(table, key, std::nullopt);
    EXPECT_THAT(message_of<ConfigError>([&, &text = file.text] { read(text); }),
                HasSubstr(fmt::format("key '{}.{}': is missing", table, key)));
  }
}

// A language model alone has no projector: "stage 1" of it would train nothing and say nothing.
TEST(TrainerConfig, SomethingOfTheModelMustLearn) {
  const std::string whole = test::tiny_run_toml();
  const std::string no_vision = whole.substr(0, whole.find("[vision]")) + whole.substr(whole.find("[data]"));
  EXPECT_NO_THROW(read(no_vision));
  const std::string stage = "stage = 2";
  std::string stage_1 = no_vision;
  stage_1.replace(stage_1.find(stage), stage.size(), "stage = 1");
  EXPECT_THAT(message_of<ConfigError>([&] { read(stage_1); }), HasSubstr("(nothing would learn)"));
}

TEST(NumericDifferences, AreThoseOfKeysThatChangeTheNumbers) {
  const TrainerConfig config = read(test::tiny_run_toml());
  EXPECT_THAT(numeric_differences(config, config), ElementsAre());
  const TrainerConfig elsewhere = read_trainer_config(TomlDocument::parse(
      test::tiny_run_toml(), "/other/run.toml",
      {"run.threads_per_rank=2", "run.directory=x", "sharding.bucket_elements=131072",
       "checkpoint.every_steps=1", "data.image_folder=pictures", "model.initial_model=stage-1",
       "data.on_bad_sample=skip", "data.max_bad_samples=5", "train.recompute=all"}));
  EXPECT_THAT(numeric_differences(config, elsewhere), ElementsAre());
  const TrainerConfig other = read_trainer_config(
      TomlDocument::parse(test::tiny_run_toml(), "/cfg/run.toml", {"train.steps=7", "optimizer.beta1=0.8"}));
  EXPECT_THAT(numeric_differences(config, other),
              ElementsAre("train.steps = 7 there, 6 here", "optimizer.beta1 = 0.8 there, 0.9 here"));
}

TEST(NumericDifferences, NameKeysThatOneSideLacks) {
  const TrainerConfig config = read(test::tiny_run_toml());
  const std::string whole = test::tiny_run_toml();
  const TrainerConfig blind =
      read(whole.substr(0, whole.find("[vision]")) + whole.substr(whole.find("[data]")));
  EXPECT_THAT(numeric_differences(config, blind),
              ::testing::Contains("vision.tokens_per_image = absent there, 4 here"));
  EXPECT_THAT(numeric_differences(blind, config),
              ::testing::Contains("vision.tokens_per_image = 4 there, absent here"));
}

TEST(TrainerConfig, PublishedPathsAreDefaults) {
  std::string text = test::tiny_run_toml();
  const auto config = read(
      text + "\n[paths]\nsiglip = \"s.bin\"\ninitial_model = \"../m.pth\"\ndata_file = \"other.json\"\n");
  EXPECT_EQ(config.published.siglip, "/cfg/s.bin");
  EXPECT_EQ(config.initial_model, "/m.pth");
  EXPECT_EQ(config.data.sources.at(0).file, "/cfg/mix.json") << "the key itself wins";
}

TEST(TrainerConfig, CompatSetsDefaultsOnly) {
  const auto original = read(edited("model", "compat", "\"visualrwkv-7.00\"").text);
  EXPECT_EQ(original.data.order, data::SampleOrder::kVisualRwkv);
  EXPECT_EQ(original.data.conversation, data::ConversationRules::kVisualRwkv);
  EXPECT_TRUE(original.data.images.accept_truncated);
  EXPECT_TRUE(original.left_padding);
  EXPECT_EQ(original.train.l2wrap, L2Wrap::kAll);
  const auto ours = read(test::tiny_run_toml());
  EXPECT_EQ(ours.data.order, data::SampleOrder::kBijection);
  EXPECT_FALSE(ours.left_padding);
  EXPECT_EQ(ours.train.l2wrap, L2Wrap::kSupervised);
  const auto mixed = read_trainer_config(TomlDocument::parse(
      test::tiny_run_toml(), "/cfg/run.toml", {"model.compat=visualrwkv-7.00", "data.order=bijection"}));
  EXPECT_TRUE(mixed.data.images.accept_truncated);
  EXPECT_EQ(mixed.data.order, data::SampleOrder::kBijection);
}

}  // namespace
}  // namespace vrwkv::trainer
