// SPDX-License-Identifier: Apache-2.0
#include "common/toml_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/error.h"

namespace vrwkv {
namespace {

using ::testing::HasSubstr;

template <class Work>
std::string message_of(Work&& work) {
  try {
    work();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(TomlReader, ReadsEveryTypeAndRemembersDefaults) {
  auto document = TomlDocument::parse(
      "[optimizer]\nlearning_rate = 1e-3\n[data]\nfile = \"mix.json\"\nskip = [1, 2]\nstrict = true\n",
      "/cfg/run.toml");
  auto root = document.root();
  auto optimizer = root.table("optimizer");
  EXPECT_EQ(optimizer.number("learning_rate", 0, 1), 1e-3);
  EXPECT_EQ(optimizer.number("beta2", 0, 1, 0.99), 0.99);
  auto data = root.table("data");
  EXPECT_EQ(data.path("file"), "/cfg/mix.json");
  EXPECT_EQ(data.integers("skip", 0, 9), (std::vector<std::int64_t>{1, 2}));
  EXPECT_TRUE(data.boolean("strict"));
  EXPECT_NO_THROW(root.reject_unknown_keys());
  EXPECT_NO_THROW(data.reject_unknown_keys());
  EXPECT_THAT(document.resolved_toml(), HasSubstr("beta2 = 0.99"));
}

TEST(TomlReader, ResolvedTextReadsBackToTheSameValues) {
  const double awkward = 0.1 + 0.2;
  auto document = TomlDocument::parse("", "/cfg/run.toml");
  auto table = document.root().table("train");
  table.number("rate", 0, 1, awkward);
  table.text("name", "a \"quoted\" \\ name");
  auto again = TomlDocument::parse(document.resolved_toml(), "/cfg/again.toml");
  auto table_again = again.root().table("train");
  EXPECT_EQ(table_again.number("rate", 0, 1), awkward);
  EXPECT_EQ(table_again.text("name"), "a \"quoted\" \\ name");
}

TEST(TomlReader, ReadsArraysOfTables) {
  auto document = TomlDocument::parse(
      "[data]\nseed = 1\n[[data.source]]\nfile = \"a\"\n[[data.source]]\nfile = \"b\"\nweigth = 2\n",
      "/cfg/run.toml");
  auto data = document.root().table("data");
  auto sources = data.tables("source");
  ASSERT_EQ(sources.size(), 2U);
  EXPECT_EQ(sources[0].path("file"), "/cfg/a");
  EXPECT_EQ(sources[0].number("weight", 0, 9, 1), 1);
  EXPECT_EQ(sources[1].path("file"), "/cfg/b");
  EXPECT_EQ(data.integer("seed", 0, 9), 1);
  sources[0].reject_unknown_keys();
  EXPECT_THAT(message_of([&] { sources[1].number("weight", 0, 9); }),
              HasSubstr("/cfg/run.toml:7: unknown key 'data.source[1].weigth'"));
  data.reject_unknown_keys();

  auto again = TomlDocument::parse(document.resolved_toml(), "/cfg/again.toml");
  auto data_again = again.root().table("data");
  EXPECT_EQ(data_again.integer("seed", 0, 9), 1);
  auto sources_again = data_again.tables("source");
  ASSERT_EQ(sources_again.size(), 2U);
  EXPECT_EQ(sources_again[0].path("file"), "/cfg/a");
  EXPECT_EQ(sources_again[0].number("weight", 0, 9), 1);
  EXPECT_EQ(sources_again[1].path("file"), "/cfg/b");

  EXPECT_TRUE(data.tables("absent").empty());
  EXPECT_THAT(message_of([&] { data.tables("seed"); }), HasSubstr("an array of tables is expected"));
}

TEST(TomlReader, UnknownKeyNamesFileLineAndNearestName) {
  auto document = TomlDocument::parse("[optimizer]\nbeta1 = 0.9\nbeta_2 = 0.95\n", "configs/x.toml");
  auto table = document.root().table("optimizer");
  table.number("beta1", 0, 1, 0.9);
  table.number("beta2", 0, 1, 0.99);
  EXPECT_EQ(message_of([&] { table.reject_unknown_keys(); }),
            "configs/x.toml:3: unknown key 'optimizer.beta_2' (a misspelt key would train with the default). "
            "Did you mean 'beta2'?");
}

TEST(TomlReader, AnUnknownKeyLikeNoOtherIsToldWhichThereAre) {
  auto document = TomlDocument::parse("[data]\nctx = 2048\n", "x.toml");
  auto table = document.root().table("data");
  table.integer("context_length", 1, 9999, 2048);
  table.text("order", "shuffled");
  EXPECT_THAT(message_of([&] { table.reject_unknown_keys(); }),
              HasSubstr("There are: context_length, order."));
}

TEST(TomlReader, WrongTypeRangeAndMissingKeySayWhereAndWhat) {
  auto document = TomlDocument::parse("[train]\nsteps = \"ten\"\nrate = 2.0\n", "x.toml");
  auto table = document.root().table("train");
  EXPECT_THAT(message_of([&] { table.integer("steps", 1, 9); }),
              HasSubstr("x.toml:2: key 'train.steps': is a TOML string"));
  EXPECT_THAT(message_of([&] { table.number("rate", 0, 1); }),
              HasSubstr("x.toml:3: key 'train.rate': 2 is out of range"));
  EXPECT_THAT(message_of([&] { table.integer("batch", 1, 9); }), HasSubstr("key 'train.batch': is missing"));
  EXPECT_THAT(message_of([&] {
                table.one_of("mode", {"stop", "skip"}, "stip");
              }),
              HasSubstr("'stip' is none of"));
}

TEST(TomlReader, SettingsOverrideTheFileAndAreNamedInErrors) {
  auto document = TomlDocument::parse("[train]\nsteps = 5\n", "x.toml",
                                      {"train.steps=7", "data.file=mix.json", "a.b.c=1"});
  auto root = document.root();
  EXPECT_EQ(root.table("train").integer("steps", 1, 9), 7);
  EXPECT_EQ(root.table("data").text("file"), "mix.json");
  EXPECT_EQ(root.table("a").table("b").integer("c", 0, 2), 1);
  EXPECT_THAT(message_of([&] { root.table("train").integer("steps", 1, 6); }),
              HasSubstr("--set train.steps: key"));
  auto misspelt = TomlDocument::parse("[train]\n", "x.toml", {"trian.steps=7"});
  auto top = misspelt.root();
  top.table("train");
  EXPECT_THAT(message_of([&] { top.reject_unknown_keys(); }),
              HasSubstr("--set trian.steps: unknown key 'trian'"));
  EXPECT_THAT(message_of([&] { TomlDocument::parse("", "x.toml", {"train.steps"}); }),
              HasSubstr("--set train.steps"));
}

TEST(TomlReader, InvalidTomlAndMissingFileAreConfigErrors) {
  EXPECT_THAT(message_of([] { TomlDocument::parse("[a]\nb = \n", "x.toml"); }),
              HasSubstr("x.toml:2: not valid TOML"));
  EXPECT_THAT(message_of([] { TomlDocument::load("/nowhere/x.toml"); }),
              HasSubstr("/nowhere/x.toml: no such configuration file"));
}

TEST(TomlReader, AMisspeltRequiredKeyIsNamedItself) {
  auto document = TomlDocument::parse("[train]\n\nstps = 6\n", "x.toml");
  const std::string message = message_of([&] { document.root().table("train").integer("steps", 1, 9); });
  EXPECT_THAT(message, HasSubstr("x.toml:3: unknown key 'train.stps'"));
  EXPECT_THAT(message, HasSubstr("Did you mean 'steps'?"));
  auto original = TomlDocument::parse("[vision]\nnum_token_per_image = 4\n", "x.toml");
  EXPECT_THAT(message_of([&] { original.root().table("vision").integer("tokens_per_image", 1, 9); }),
              HasSubstr("x.toml:2: unknown key 'vision.num_token_per_image'"));
  auto other = TomlDocument::parse("[train]\nsteps = 6\n", "x.toml");
  EXPECT_THAT(message_of([&] { other.root().table("train").integer("stage", 1, 2); }),
              HasSubstr("key 'train.stage': is missing"));
}

}  // namespace
}  // namespace vrwkv
