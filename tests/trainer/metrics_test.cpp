// SPDX-License-Identifier: Apache-2.0
#include "trainer/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/error.h"
#include "common/file_system.h"
#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::trainer {
namespace {

using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

StepMetrics row_of(std::int64_t step) {
  return {.step = step, .loss = 1.0 / static_cast<double>(step), .samples = 8, .tokens = 100 + step};
}

class MetricsFileTest : public ::testing::Test {
 protected:
  std::vector<std::string> lines() const {
    std::istringstream text(read_file(file_));
    std::vector<std::string> found;
    for (std::string line; std::getline(text, line);) found.push_back(line);
    return found;
  }
  std::vector<std::int64_t> steps() const {
    std::vector<std::int64_t> found;
    for (const std::string& line : lines()) found.push_back(nlohmann::json::parse(line).at("step"));
    return found;
  }
  void write(std::int64_t rows) const {
    MetricsFile metrics(file_, 0);
    for (std::int64_t step = 1; step <= rows; ++step) metrics.append(row_of(step));
  }
  /// Takes the last `bytes` bytes off the file.
  void tear(std::size_t bytes) const {
    const std::string whole = read_file(file_);
    test::write_file(file_, whole.substr(0, whole.size() - bytes));
  }

  const test::TemporaryDirectory folder_;
  const std::filesystem::path file_ = folder_.path() / "metrics.jsonl";
};

TEST_F(MetricsFileTest, ARowIsOneObjectWithTheDocumentedKeysInTheirOrder) {
  write(1);
  ASSERT_THAT(lines(), SizeIs(1));
  std::vector<std::string> keys;
  const auto row = nlohmann::ordered_json::parse(lines()[0]);
  for (const auto& [key, value] : row.items()) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre("step", "loss", "learning_rate", "grad_norm", "samples", "tokens",
                                "supervised_tokens", "step_seconds", "data_wait_seconds",
                                "communication_wait_seconds", "checkpoint_stall_seconds", "memory_bytes"));
  EXPECT_TRUE(row.at("samples").is_number_integer());
  EXPECT_TRUE(row.at("loss").is_number_float());
}

TEST_F(MetricsFileTest, FloatsReadBackToTheSameBits) {
  std::vector<double> values = {0.0,
                                -0.0,
                                1.0,
                                1e300,
                                0.1 + 0.2,
                                std::numeric_limits<double>::denorm_min(),
                                std::numeric_limits<double>::max(),
                                static_cast<double>(1.0F / 3.0F)};
  for (std::uint64_t i = 1; i < 2000; ++i) {
    const double value = std::bit_cast<double>(i * 0x9e3779b97f4a7c15ULL);
    if (std::isfinite(value)) values.push_back(value);
  }
  {
    MetricsFile metrics(file_, 0);
    for (const double value : values) metrics.append({.step = metrics.rows() + 1, .loss = value});
  }
  const auto found = lines();
  ASSERT_EQ(found.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_EQ(std::bit_cast<std::uint64_t>(nlohmann::json::parse(found[i]).at("loss").get<double>()),
              std::bit_cast<std::uint64_t>(values[i]))
        << found[i];
}

TEST_F(MetricsFileTest, RowsBeyondTheCheckpointAreRemoved) {
  write(5);
  {
    MetricsFile metrics(file_, 3);
    EXPECT_EQ(metrics.rows(), 3);
    EXPECT_EQ(metrics.first_loss(), 1.0);
    metrics.append(row_of(4));
  }
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3, 4));
}

TEST_F(MetricsFileTest, AFreshRunRemovesThemAll) {
  write(5);
  MetricsFile metrics(file_, 0);
  EXPECT_THAT(steps(), SizeIs(0));
  EXPECT_FALSE(metrics.first_loss().has_value());
  metrics.append(row_of(1));
  EXPECT_EQ(metrics.first_loss(), 1.0);
}

TEST_F(MetricsFileTest, ATornLastLineBeyondTheCheckpointIsRemoved) {
  write(4);
  tear(9);
  MetricsFile metrics(file_, 3);
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3));
}

TEST_F(MetricsFileTest, ATornRowOfTheCheckpointsIsRefused) {
  write(4);
  tear(9);
  const std::string before = read_file(file_);
  EXPECT_THAT(message_of<CheckpointError>([&] { MetricsFile(file_, 4); }),
              HasSubstr("metrics.jsonl:4: is not the whole row of step 4"));
  EXPECT_EQ(read_file(file_), before) << "what can still be mended must stay";
}

TEST_F(MetricsFileTest, ALostLineEndIsMended) {
  write(4);
  tear(1);
  MetricsFile(file_, 4).append(row_of(5));
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(MetricsFileTest, MissingRowsAreRefused) {
  EXPECT_THAT(message_of<CheckpointError>([&] { MetricsFile(file_, 2); }),
              HasSubstr("metrics.jsonl: 0 rows"));
  write(1);
  EXPECT_THAT(message_of<CheckpointError>([&] { MetricsFile(file_, 2); }),
              HasSubstr("metrics.jsonl: 1 rows"));
}

TEST_F(MetricsFileTest, RowsThatAreNotThoseOfTheStepsAreRefused) {
  write(3);
  auto damaged = lines();
  test::write_file(file_, damaged[0] + "\n" + damaged[2] + "\n");
  EXPECT_THAT(message_of<CheckpointError>([&] { MetricsFile(file_, 2); }),
              HasSubstr("metrics.jsonl:2: is not the whole row of step 2"));
  test::write_file(file_, "not json\n" + damaged[1] + "\n");
  EXPECT_THAT(message_of<CheckpointError>([&] { MetricsFile(file_, 2); }),
              HasSubstr("metrics.jsonl:1: is not the whole row of step 1"));
}

TEST(PeakMemory, IsThatOfAProcess) {
  EXPECT_GT(peak_process_bytes(), 1 << 20);
  EXPECT_LT(peak_process_bytes(), std::int64_t{1} << 40);
}

}  // namespace
}  // namespace vrwkv::trainer
