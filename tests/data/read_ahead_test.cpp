// SPDX-License-Identifier: Apache-2.0
// How far the loader reads ahead of steps that come slowly.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "data/image_features.h"
#include "data/loader.h"
#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

/// Features that take a while to come, and count how often they were asked for.
class SlowFeatures final : public ImageFeatures {
 public:
  at::Tensor read(std::size_t /*source*/, const std::string& /*image*/) const override {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ++reads;
    return at::zeros({4, 8});
  }
  std::int64_t bytes_per_image() const override { return 4 * 8 * 4; }

  mutable std::atomic<int> reads = 0;
};

class ReadAhead : public ::testing::Test {
 protected:
  static constexpr int kImagesAStep = 12;  // each sample has one

  /// Takes steps as fast as they come, so that nearly each has to be waited for.
  std::unique_ptr<Loader> loader_after(int steps, std::int64_t prefetch_bytes) const {
    std::vector<std::string> samples;
    for (int i = 0; i < 240; ++i) samples.push_back(test::image_sample(std::to_string(i), "red.png"));
    DataConfig config;
    config.sources = {{.file = test::write_file(directory_.path() / "mix.json", test::array_of(samples)),
                       .image_folder = {}}};
    config.vocabulary = test::vocabulary_file();
    config.prefetch_bytes = prefetch_bytes;
    StepReaderOptions options{.image_sizes = {},
                              .tokens_per_image = 4,
                              .vocabulary_size = 65536,
                              .seed = 11,
                              .step = {.samples = kImagesAStep, .micro_batches = 4, .image_cost = 20}};
    options.features = features_;
    auto loader = std::make_unique<Loader>(config, std::move(options), 1);
    for (int step = 0; step < steps; ++step)
      loader->load({.position = step * kImagesAStep, .first_micro_batch = 0, .count = 4});
    return loader;
  }
  /// Whether so many steps are read before long.
  bool reads_come_to(int steps) const {
    for (int i = 0; i < 5000 && features_->reads < steps * kImagesAStep; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return features_->reads >= steps * kImagesAStep;
  }

  const test::TemporaryDirectory directory_;
  const std::shared_ptr<SlowFeatures> features_ = std::make_shared<SlowFeatures>();
};

TEST_F(ReadAhead, GrowsWithEachWait) {
  const auto loader = loader_after(8, std::int64_t{1} << 30);
  EXPECT_TRUE(reads_come_to(8 + 4)) << features_->reads << " images";
}

TEST_F(ReadAhead, IsBoundedByBytes) {
  const auto loader = loader_after(8, 1);
  EXPECT_TRUE(reads_come_to(8 + 1)) << "the next step is always read";
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(features_->reads, (8 + 1) * kImagesAStep);
}

}  // namespace
}  // namespace vrwkv::data
