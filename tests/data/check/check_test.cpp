// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/file_system.h"
#include "data/check/check_image.h"
#include "data/check/check_journal.h"
#include "data/check/check_report.h"
#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

Json sample(const std::string& id, Json turns, Json image = nullptr) {
  Json all = Json::array();
  for (std::size_t i = 0; i < turns.size(); ++i)
    all.push_back({{"from", i % 2 == 0 ? "human" : "gpt"}, {"value", turns[i]}});
  return {{"id", id}, {"image", std::move(image)}, {"conversations", std::move(all)}};
}

class CheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(images_);
    const std::string good = read_file(VRWKV_TEST_FIXTURES "/image/jpeg_420.jpg");
    test::write_file(images_ / "good.png", good);  // named as it is not
    test::write_file(images_ / "half.png", good.substr(0, good.size() - 20));
    test::write_file(images_ / "text.jpg", "This is not a picture.");
    test::write_file(images_ / "empty.jpg", "");
  }

  Mixture mixture(const Json& samples) {
    return {{{test::write_file(directory_.path() / "mix.json", samples.dump(1)), {images_}}},
            test::tokenizer(),
            view_};
  }

  /// Everything wrong with each of the samples, "kind" or "kind!" when it is bad.
  std::vector<std::vector<std::string>> kinds(const Mixture& mixture, const CheckReport& report) {
    std::vector<std::vector<std::string>> found(static_cast<std::size_t>(mixture.size()));
    for (const Finding& finding : report.sample_findings)
      found[static_cast<std::size_t>(finding.number)].push_back(finding.kind + (finding.is_bad ? "!" : ""));
    return found;
  }
  CheckReport check(const Mixture& mixture, int threads = 1) {
    std::map<std::int64_t, ChunkFindings> done;
    for (const CheckChunk& chunk : check_chunks(mixture))
      done.emplace(static_cast<std::int64_t>(done.size()),
                   check_chunk(mixture, stores_, chunk, options_, threads));
    return make_check_report(mixture, done);
  }

  test::TemporaryDirectory directory_;
  const std::filesystem::path images_ = directory_.path() / "images";
  MixtureView view_{.context_length = 40, .tokens_per_image = 4, .takes_images = true, .conversation = {}};
  ImageOptions options_;
  const ImageStores stores_ = open_image_stores({ImagePlaces{images_}});
};

Json every_kind() {
  Json odd = sample("odd", {"Hi", "Ho"});
  odd["conversations"][1]["from"] = "system";
  Json turned = sample("turned", {"Hi", "Ho", "There"});
  turned["conversations"][2]["from"] = "gpt";
  turned["conversations"][1]["from"] = "human";
  std::string long_text;
  for (int i = 0; i < 60; ++i) long_text += "word ";
  return Json::array({
      sample("good", {"<image>\nWhat?", "It."}, "good.png"),
      sample("missing", {"<image>\nWhat?", "It."}, "gone.png"),
      sample("truncated", {"<image>\nWhat?", "It."}, "half.png"),
      sample("unreadable", {"<image>\nWhat?", "It."}, "text.jpg"),
      sample("empty file", {"<image>\nWhat?", "It."}, "empty.jpg"),
      sample("no mark", {"What?", "It."}, "good.png"),
      sample("empty", {"<image>\nWhat?", " "}, "good.png"),
      sample("no answer", {"What?"}),
      sample("no turns", Json::array()),
      odd,
      turned,
      sample("late", {long_text, "It."}),
      sample("long", {"What?", long_text}),
      sample("mark", {"What is <image>?", "It."}),
      sample("good again", {"<image>\nWhat?", "It."}, "good.png"),
      sample("two", {"<image>\n<image>\nWhat?", "It."}, {"good.png", "gone.png"}),
  });
}

TEST_F(CheckTest, FindsWhatIsWrongWithEverySample) {
  const Mixture mix = mixture(every_kind());
  const CheckReport report = check(mix);
  EXPECT_THAT(kinds(mix, report),
              ElementsAre(IsEmpty(), ElementsAre("missing!"), ElementsAre("truncated!"),
                          ElementsAre("unreadable!"), ElementsAre("unreadable!"), ElementsAre("image_marks!"),
                          ElementsAre("empty_answer!"), ElementsAre("no_target!"), ElementsAre("no_turns!"),
                          ElementsAre("odd_roles!"), ElementsAre("roles_out_of_turn"),
                          ElementsAre("context_too_short!"), ElementsAre("over_long"),
                          ElementsAre("mark_as_text"), ElementsAre("duplicate"), ElementsAre("missing!")));
  EXPECT_EQ(report.kinds.at("missing").count, 1) << "one image, whatever the number of samples";
  EXPECT_TRUE(report.quarantine.is_of(mix.fingerprint()));
  EXPECT_EQ(report.quarantine.samples().size(), 11U);
  EXPECT_EQ(report.quarantine.samples().at(1).id, "missing");
  EXPECT_THAT(report.quarantine.samples().at(1).reason, HasSubstr("mix.json: sample 'missing': "));
  EXPECT_THAT(report.quarantine.samples().at(1).reason, HasSubstr("gone.png"));
  EXPECT_EQ(report.images, 5);
}

TEST_F(CheckTest, EqualNamesInOtherPlacesAreNoDuplicates) {
  const Json samples =
      Json::array({sample("a", {"<image>\nWhat?", "It."}, "good.png"), sample("b", {"Hi", "Ho"})});
  const auto first = test::write_file(directory_.path() / "first.json", samples.dump());
  const auto second = test::write_file(directory_.path() / "second.json", samples.dump());
  const auto duplicates_with = [&](const std::filesystem::path& folder) {
    const Mixture mix({{first, {images_}}, {second, {folder}}}, test::tokenizer(), view_);
    std::vector<std::int64_t> records;
    std::map<std::int64_t, ChunkFindings> nothing;
    for (std::size_t i = 0; i < check_chunks(mix).size(); ++i)
      nothing[static_cast<std::int64_t>(i)].image_sides.assign(kSideClasses.size(), 0);
    for (const Finding& finding : make_check_report(mix, nothing).sample_findings)
      records.push_back(finding.number);
    return records;
  };
  EXPECT_THAT(duplicates_with(images_), ElementsAre(2, 3));
  EXPECT_THAT(duplicates_with(directory_.path() / "others"), ElementsAre(3)) << "of text alone";
}

TEST_F(CheckTest, IsTheSameOnAnyNumberOfThreads) {
  const Mixture mix = mixture(every_kind());
  EXPECT_EQ(check(mix, 5).json(mix), check(mix, 1).json(mix));
}

TEST_F(CheckTest, TruncatedImagesMayBeAccepted) {
  options_.accept_truncated = true;
  const Mixture mix = mixture(Json::array({every_kind()[2]}));
  const CheckReport report = check(mix);
  EXPECT_THAT(kinds(mix, report), ElementsAre(ElementsAre("truncated")));
  EXPECT_THAT(report.quarantine.samples(), IsEmpty());
}

TEST_F(CheckTest, CountsLengthsAndSizes) {
  const Mixture mix = mixture(every_kind());
  const Json report = Json::parse(check(mix).json(mix));
  EXPECT_EQ(report["samples"], 16);
  EXPECT_EQ(report["bad_samples"], 11);
  std::int64_t samples = 0, images = 0;
  for (const Json& part : report["tokens"]) samples += part["count"].get<std::int64_t>();
  for (const Json& part : report["image_sides"]) images += part["count"].get<std::int64_t>();
  EXPECT_EQ(samples, 16);
  EXPECT_EQ(images, 2) << "those that could be decoded, the truncated one included";
}

TEST_F(CheckTest, GoesOnFromItsJournal) {
  const Mixture mix = mixture(every_kind());
  const std::filesystem::path folder = directory_.path() / "check";
  const auto open = [&] { return CheckJournal(folder, mix, options_); };
  const std::vector<CheckChunk> chunks = check_chunks(mix);
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_THAT(open().done(), IsEmpty());
  open().append(1, 0, check_chunk(mix, stores_, chunks[0], options_, 1));
  EXPECT_THAT(open().done(), ElementsAre(Pair(0, ::testing::_)));
  EXPECT_EQ(open().done().at(0).findings, check_chunk(mix, stores_, chunks[0], options_, 1).findings);

  // Killed while it wrote: the torn line does not count, and the next one does.
  const auto file = folder / "done-0001.jsonl";
  test::write_file(file, read_file(file) + R"({"chunk": 1, "of": "x", "find)");
  EXPECT_EQ(open().done().size(), 1U);
  open().append(1, 1, check_chunk(mix, stores_, chunks[1], options_, 1));
  const CheckJournal whole = open();
  ASSERT_EQ(whole.done().size(), 2U);
  EXPECT_EQ(make_check_report(mix, whole.done()).json(mix), check(mix).json(mix));

  EXPECT_THROW(make_check_report(mix, {*whole.done().begin()}), IoError) << "a piece is missing";

  view_.context_length = 41;
  EXPECT_THAT(CheckJournal(folder, mixture(every_kind()), options_).done(), IsEmpty())
      << "of another context";
  whole.remove();
  EXPECT_THAT(open().done(), IsEmpty());
}

TEST_F(CheckTest, TakesNoOtherFileForItsJournal) {
  const Mixture mix = mixture(every_kind());
  const std::filesystem::path folder = directory_.path() / "check";
  const auto open = [&] { return CheckJournal(folder, mix, options_); };
  open().append(1, 0, check_chunk(mix, stores_, check_chunks(mix)[0], options_, 1));
  const std::string lines = read_file(folder / "done-0001.jsonl");
  std::filesystem::create_directory(folder / "done-0002.jsonl");
  std::filesystem::create_symlink(directory_.path() / "mix.json", folder / "done-0003.jsonl");
  const std::vector<std::string> others = {"done-list.txt", "done-.jsonl", "done-12.jsonl", "done-00x1.jsonl",
                                           "done-0001.jsonl.old"};
  for (const auto& name : others) test::write_file(folder / name, lines);
  EXPECT_EQ(open().done().size(), 1U);
  std::filesystem::remove(folder / "done-0001.jsonl");
  EXPECT_THAT(open().done(), IsEmpty());
  open().append(12345, 0, check_chunk(mix, stores_, check_chunks(mix)[0], options_, 1));
  EXPECT_EQ(open().done().size(), 1U) << "a rank of five digits";
  open().remove();
  EXPECT_FALSE(std::filesystem::exists(folder / "done-12345.jsonl"));
  EXPECT_TRUE(std::filesystem::is_directory(folder / "done-0002.jsonl"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "done-0003.jsonl"));
  for (const auto& name : others) EXPECT_EQ(read_file(folder / name), lines) << name;
}

TEST_F(CheckTest, LooksAtTheSizesOfImages) {
  const auto of_size = [&](std::int64_t width, std::int64_t height) {
    // The smallest file of any size: a GIF whose frame covers one pixel of its canvas.
    std::string gif = "GIF89a";
    for (const std::int64_t side : {width, height}) {
      gif += static_cast<char>(side & 0xff);
      gif += static_cast<char>(side >> 8);
    }
    gif += std::string("\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;", 25);
    test::write_file(images_ / "size.gif", gif);
    return check_image(FolderStore(images_), "size.gif", options_);
  };
  EXPECT_EQ(of_size(10, 10).finding, std::nullopt);
  EXPECT_EQ(of_size(10, 30).longer_side, 30);
  EXPECT_EQ(of_size(9, 500).finding->kind, "too_small");
  EXPECT_TRUE(of_size(1, 1).finding->is_bad);
  EXPECT_EQ(of_size(4096, 4096).finding, std::nullopt);
  EXPECT_EQ(of_size(4097, 4096).finding->kind, "too_large");
  EXPECT_FALSE(of_size(4097, 4096).finding->is_bad);
}

}  // namespace
}  // namespace vrwkv::data
