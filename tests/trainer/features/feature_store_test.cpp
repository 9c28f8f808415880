// SPDX-License-Identifier: Apache-2.0
#include "trainer/features/feature_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/error.h"
#include "common/file_system.h"
#include "tests/trainer/checkpoint/shared_folder.h"
#include "tests/trainer/tiny_model.h"
#include "tests/trainer/tiny_run.h"
#include "trainer/features/store_description.h"

namespace vrwkv::trainer {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using ::testing::HasSubstr;

/// Seven images, of which the fourth is none, in shards of three.
class FeatureStoreTest : public ::testing::Test {
 protected:
  FeatureStoreTest() {
    if (world_.rank() == 0) {
      for (std::uint64_t i = 0; i < 7; ++i) test::write_png(file(i), i);
      test::write_file(file(3), "no image");
    }
    world_.barrier("images");
    for (std::uint64_t i = 0; i < 7; ++i) job_.images.push_back({name(i), name(i), 0});
    job_.stores = {std::make_shared<data::FolderStore>(folder_.path())};
    job_.folder = folder_.path() / "features";
    job_.type = FeatureType::kFp32;
    job_.images_per_shard = 3;
    job_.threads = 2;
  }

  static std::string name(std::uint64_t i) { return fmt::format("{}.png", i); }
  fs::path file(std::uint64_t i) const { return folder_.path() / name(i); }

  FeatureSummary make(const FeatureJob& job) const {
    const FeatureSummary summary = make_features(model_, job, world_, [](std::int64_t) {});
    world_.barrier("features");
    return summary;
  }
  FeatureKey key(FeatureType type = FeatureType::kFp32) const {
    return feature_key(model_, job_.options, type);
  }
  FeatureStore open(const fs::path& folder, FeatureType type = FeatureType::kFp32) const {
    return {folder, key(type), {data::ImagePlaces{folder_.path()}}};
  }
  /// Rank 0 alone changes files.
  template <class Change>
  void change(Change&& files) const {
    world_.barrier("before a change");
    if (world_.rank() == 0) files();
    world_.barrier("after a change");
  }
  /// What training computes of an image.
  at::Tensor expected(std::uint64_t i) const {
    std::map<std::int64_t, std::vector<at::Tensor>> pixels;
    for (const std::int64_t size : model_.image_sizes())
      pixels[size] = {data::resize_to_square(data::decode_image(file(i)), size)};
    return model_.pool_images(model_.encode_images(pixels)).squeeze(0);
  }

  const mpi::Communicator world_ = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder_{world_};
  const model::VisualRwkv model_ = test::tiny_model(11);
  FeatureJob job_;
};

TEST_F(FeatureStoreTest, HoldsTheBitsThatTrainingComputes) {
  const FeatureSummary summary = make(job_);
  EXPECT_EQ(summary.encoded, 7);
  EXPECT_EQ(summary.kept, 0);
  EXPECT_EQ(summary.refused, 1);
  const FeatureStore store = open(job_.folder);
  EXPECT_EQ(store.images(), 7);
  store.require(job_.images);
  for (const std::uint64_t i : {0, 1, 2, 4, 5, 6})
    EXPECT_TRUE(test::same_bits(store.read(0, name(i)), expected(i))) << i;
  EXPECT_THAT(message_of<DataError>([&] { store.read(0, name(3)); }), HasSubstr("3.png"));
  EXPECT_THAT(message_of<Error>([&] { store.read(0, "other.png"); }), HasSubstr("'other.png'"));
}

TEST_F(FeatureStoreTest, StoresInFewerBits) {
  for (const FeatureType type : {FeatureType::kBf16, FeatureType::kFp8}) {
    FeatureJob job = job_;
    job.type = type;
    job.folder = folder_.path() / name_of(type);
    make(job);
    const FeatureStore store = open(job.folder, type);
    EXPECT_TRUE(at::equal(store.read(0, name(5)), from_stored(to_stored(expected(5), type))));
  }
}

TEST_F(FeatureStoreTest, GoesOnWhereItWasKilled) {
  make(job_);
  change([&] {
    fs::remove(shard_path(job_.folder, 1));
    test::write_file(shard_path(job_.folder, 1).string() + ".partial", "half a shard");
  });
  const FeatureSummary again = make(job_);
  EXPECT_EQ(again.encoded, 3);
  EXPECT_EQ(again.kept, 4);
  EXPECT_EQ(again.refused, 1);
  EXPECT_TRUE(test::same_bits(open(job_.folder).read(0, name(4)), expected(4)));
}

/// Shard by shard, what a killed job left over may be all one rank's.
TEST_F(FeatureStoreTest, DealsWhatIsMissing) {
  FeatureJob job = job_;
  job.images_per_shard = 1;
  make(job);
  const std::int64_t ranks = world_.size();
  std::int64_t missing = 0, kept_here = 0;
  for (std::int64_t shard = 0; shard < 7; ++shard) {
    if (shard % ranks == 0) ++missing;
    if (shard % ranks != 0 && shard % ranks == world_.rank()) ++kept_here;
  }
  change([&] {
    for (std::int64_t shard = 0; shard < 7; shard += ranks) fs::remove(shard_path(job.folder, shard));
  });
  std::int64_t done_here = 0;
  const auto summary = make_features(model_, job, world_, [&](std::int64_t done) { done_here = done; });
  EXPECT_EQ(summary.encoded, missing);
  EXPECT_EQ(summary.kept, 7 - missing);
  const std::int64_t encoded_here = done_here - kept_here;
  EXPECT_GE(encoded_here, missing / ranks);
  EXPECT_LE(encoded_here, (missing + ranks - 1) / ranks);
}

TEST_F(FeatureStoreTest, FollowsTheDataAndDropsWhatIsLeftOver) {
  make(job_);
  FeatureJob fewer = job_;
  fewer.images.erase(fewer.images.begin() + 3, fewer.images.end());
  change([&] { fs::rename(file(0), folder_.path() / "renamed.png"); });
  fewer.images.front() = {"renamed.png", "renamed.png", 0};
  EXPECT_EQ(make(fewer).encoded, 3);
  const FeatureStore store = open(job_.folder);
  EXPECT_EQ(store.images(), 3);
  change([&] { fs::rename(folder_.path() / "renamed.png", file(0)); });
  EXPECT_TRUE(test::same_bits(store.read(0, "renamed.png"), expected(0)));
  EXPECT_FALSE(fs::exists(shard_path(job_.folder, 2)));
}

TEST_F(FeatureStoreTest, RefusesWhatIsStale) {
  make(job_);
  EXPECT_THAT(message_of<ConfigError>([&] { open(job_.folder, FeatureType::kFp8); }),
              HasSubstr("'stored fp32' there, 'stored fp8' here"));
  const model::VisualRwkv other = test::tiny_model(12);
  EXPECT_THAT(message_of<ConfigError>([&] {
                FeatureStore(job_.folder, feature_key(other, job_.options, FeatureType::kFp32), {});
              }),
              HasSubstr("vit.dino_featurizer"));
  data::ImageOptions options;
  options.resize_order = data::ResizeOrder::kPillow13;
  EXPECT_THROW(FeatureStore(job_.folder, feature_key(model_, options, FeatureType::kFp32), {}), ConfigError);
  FeatureJob job = job_;
  job.type = FeatureType::kFp8;
  EXPECT_THROW(make(job), Error) << "it would mix two stores";
  EXPECT_THROW(open(folder_.path() / "none"), ConfigError);
}

TEST_F(FeatureStoreTest, FindsDamage) {
  make(job_);
  change([&] {
    const auto path = shard_path(job_.folder, 0);
    const std::uint64_t place = hdf5::File::open(path).row_offsets("/features").at(1);
    std::fstream shard(path, std::ios::in | std::ios::out | std::ios::binary);
    shard.seekp(static_cast<std::streamoff>(place) + 3);
    shard.put(static_cast<char>(0x41));
  });
  const FeatureStore store = open(job_.folder);
  EXPECT_TRUE(test::same_bits(store.read(0, name(0)), expected(0)));
  EXPECT_THAT(message_of<Error>([&] { store.read(0, name(1)); }), HasSubstr("shard-00000.h5"));
  change([&] { fs::resize_file(shard_path(job_.folder, 2), 700); });
  EXPECT_THAT(message_of<Error>([&] { open(job_.folder); }), HasSubstr("shard-00002.h5"));
}

/// The features of another picture of the same name would be trained on without a word.
TEST_F(FeatureStoreTest, NoticesAnotherImageUnderTheSameName) {
  make(job_);
  change([&] { fs::resize_file(file(1), fs::file_size(file(1)) + 1); });
  const auto read = [&] { open(job_.folder).read(0, name(1)); };
  EXPECT_THAT(message_of<Error>(read), HasSubstr("1.png changed since the features of '1.png' were made"));
  EXPECT_EQ(make(job_).encoded, 3) << "the shard of that image";
  EXPECT_TRUE(test::same_bits(open(job_.folder).read(0, name(1)), expected(1)));
  change([&] { fs::remove(file(1)); });
  EXPECT_NO_THROW(read()) << "its features are of what it was";
}

TEST_F(FeatureStoreTest, FeaturesOfAMendedImageAreMadeAgain) {
  make(job_);
  change([&] { test::write_file(file(3), "an image"); });  // of the same size: its content tells
  EXPECT_THAT(message_of<Error>([&] { open(job_.folder).read(0, name(3)); }),
              HasSubstr("3.png changed since"));
  change([&] { test::write_png(file(3), 3); });
  EXPECT_EQ(make(job_).refused, 0);
  EXPECT_TRUE(test::same_bits(open(job_.folder).read(0, name(3)), expected(3)));
}

TEST_F(FeatureStoreTest, BelongsToItsImages) {
  make(job_);
  const FeatureStore store = open(job_.folder);
  std::vector<FeatureImage> more = job_.images;
  more.push_back({"7.png", "7.png", 0});
  EXPECT_THAT(message_of<Error>([&] { store.require(more); }), HasSubstr("has no features of image '7.png'"));
  const fs::path other = folder_.path() / "other";
  change([&] {
    fs::create_directories(other);
    for (std::uint64_t i = 0; i < 7; ++i) test::write_png(other / name(i), 10 + i);
  });
  const FeatureStore elsewhere(job_.folder, key(), {data::ImagePlaces{other}});
  EXPECT_THAT(message_of<Error>([&] { elsewhere.require(job_.images); }),
              HasSubstr("is not the file that the features of '0.png' were made of"));
}

}  // namespace
}  // namespace vrwkv::trainer
