// SPDX-License-Identifier: Apache-2.0
// Training from stored features is training from images.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "common/mpi/in_turn.h"
#include "tests/trainer/trainer_run.h"
#include "trainer/features/feature_plan.h"
#include "trainer/features/feature_store.h"
#include "trainer/open_data.h"
#include "trainer/weight_source.h"

namespace vrwkv::trainer {
namespace {

class FeatureTraining : public test::TrainerRunTest {
 protected:
  /// Stores the features of the five images of the tiny data set.
  void make(const std::string& type, const Compute& compute = {}) const {
    const TrainerConfig config = test::tiny_run_config(folder_.path());
    model::VisualRwkv model = make_model(config.model, open_initial_weights(config), config.train.seed);
    model.move_to(compute.device, compute.type);
    FeatureJob job{.stores = {std::make_shared<data::FolderStore>(folder_.path() / "images")},
                   .images = {},
                   .folder = folder_.path() / type,
                   .options = config.data.images,
                   .type = feature_type_of(type),
                   .images_per_shard = 2};
    for (int i = 0; i < 5; ++i) {
      const std::string name = fmt::format("{}.png", i);
      job.images.push_back({name, name, 0});
    }
    make_features(model, job, world_, [](std::int64_t) {});
    world_.barrier("features");
  }
};

TEST_F(FeatureTraining, HasTheBitsOfTrainingFromImages) {
  make("fp32");
  train("from_images");
  train("from_features", {"data.feature_type=fp32", "data.features=fp32"});
  expect_equal_runs("from_images", "from_features");
}

TEST_F(FeatureTraining, HasThemInBf16) {
  const Compute bf16{.type = c10::kBFloat16};
  make("bf16", bf16);
  train("from_images", {}, {}, bf16);
  train("from_features", {"data.feature_type=bf16", "data.features=bf16"}, {}, bf16);
  expect_equal_runs("from_images", "from_features");
}

TEST_F(FeatureTraining, AnImageThatCannotBeReadIsBadEitherWay) {
  if (world_.rank() == 0) test::write_file(folder_.path() / "images/3.png", "no image");
  world_.barrier("damage");
  make("fp32");
  train("from_images", {"data.on_bad_sample=skip"});
  train("from_features", {"data.on_bad_sample=skip", "data.feature_type=fp32", "data.features=fp32"});
  expect_equal_runs("from_images", "from_features");
}

/// Sources whose images have the same names are told apart by their number: swapped, they are other images.
TEST_F(FeatureTraining, SwappedSourcesAreRefused) {
  if (world_.rank() == 0) {
    test::write_tiny_data(folder_.path() / "other", 40);
    for (std::uint64_t i = 0; i < 5; ++i)
      test::write_png(folder_.path() / "other/images" / fmt::format("{}.png", i), 10 + i);
  }
  world_.barrier("second source");
  const data::DataSource one{.file = folder_.path() / "mix.json",
                             .image_folder = {folder_.path() / "images"}};
  const data::DataSource two{.file = folder_.path() / "other/mix.json",
                             .image_folder = {folder_.path() / "other/images"}};
  TrainerConfig config = test::tiny_run_config(folder_.path(), {"run.directory=run"});
  config.data.sources = {one, two};
  config.data.feature_type = "fp32";
  config.data.features = folder_.path() / "both";
  const model::VisualRwkv model = make_model(config.model, open_initial_weights(config), config.train.seed);
  const auto mixture = mpi::in_turn(world_, "data", [&] {
    return data::Mixture({one, two}, data::Tokenizer::load(test::vocabulary_file(), 300),
                         config.data.view(true, 4));
  });
  const FeatureJob job{.stores = data::open_image_stores(config.data.image_folders()),
                       .images = distinct_images(mixture),
                       .folder = config.data.features,
                       .options = config.data.images,
                       .type = FeatureType::kFp32};
  make_features(model, job, world_, [](std::int64_t) {});
  world_.barrier("features");
  const auto open = [&] {
    open_data(config, model, RunDirectory(folder_.path() / "run"), world_);
    world_.barrier("opened");
  };
  EXPECT_NO_THROW(open());
  config.data.sources = {two, one};
  EXPECT_THAT(test::message_of<Error>(open), ::testing::HasSubstr("is not the file that the features of"));
  config.data.sources = {one};
  EXPECT_NO_THROW(open()) << "more features than are needed";
  config.data.sources.front().image_folder = two.image_folder;
  EXPECT_THAT(test::message_of<Error>(open), ::testing::HasSubstr("is not the file that the features of"));
}

/// A feature is rounded by at most 2^-9 of itself (bf16) or 2^-4 of its token's largest (e4m3): the losses of
/// these few steps differ by no larger part.
TEST_F(FeatureTraining, FewerBitsTrainNearlyAlike) {
  train("from_images");
  const std::map<std::string, double> rounding = {{"bf16", 0x1p-9}, {"fp8", 0x1p-4}};
  for (const auto& [type, bound] : rounding) {
    make(type);
    train("from_" + type, {"data.feature_type=" + type, "data.features=" + type});
    if (world_.rank() != 0) continue;
    const auto exact = test::metrics_of(run_folder("from_images"));
    const auto rows = test::metrics_of(run_folder("from_" + type));
    ASSERT_EQ(rows.size(), exact.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double loss = exact[i].at("loss").get<double>();
      EXPECT_NEAR(rows[i].at("loss").get<double>(), loss, bound * loss) << type << " step " << i;
    }
    EXPECT_NE(rows.back().at("loss"), exact.back().at("loss")) << type << " was not read";
  }
}

}  // namespace
}  // namespace vrwkv::trainer
