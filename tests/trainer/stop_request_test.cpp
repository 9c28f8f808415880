// SPDX-License-Identifier: Apache-2.0
// A binary of its own: a stop request cannot be taken back.
#include <gtest/gtest.h>

#include <csignal>

#include "tests/trainer/trainer_run.h"
#include "trainer/stop_signal.h"

namespace vrwkv::trainer {
namespace {

using StopRequest = test::TrainerRunTest;

TEST_F(StopRequest, OfOneRankStopsAllAfterTheStepWithACheckpointAndAMarker) {
  install_stop_signals();
  if (world_.rank() == world_.size() - 1) std::raise(SIGUSR1);
  for (const std::int64_t step : {1, 2}) {
    const TrainSummary summary = train("run");
    EXPECT_TRUE(summary.stopped_on_request);
    EXPECT_EQ(summary.step, step);
    EXPECT_EQ(checkpoint::resolve(run_folder("run")).filename(), "step-0000000" + std::to_string(step));
    EXPECT_TRUE(std::filesystem::exists(run_folder("run") / "REQUEUE"));
    EXPECT_EQ(test::metrics_of(run_folder("run")).size(), static_cast<std::size_t>(step));
    world_.barrier("looked at the run");
  }
  // With its last step a run is done, asked to stop or not.
  const TrainSummary summary = train("run", {}, test::until(3));
  EXPECT_FALSE(summary.stopped_on_request);
  EXPECT_EQ(summary.step, 3);
  EXPECT_FALSE(std::filesystem::exists(run_folder("run") / "REQUEUE"));
}

}  // namespace
}  // namespace vrwkv::trainer
