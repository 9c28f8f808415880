// SPDX-License-Identifier: Apache-2.0
#include "trainer/checkpoint/checkpoint_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/error.h"
#include "tests/support/temporary_directory.h"
#include "trainer/checkpoint/checkpoint.h"

namespace vrwkv::checkpoint {
namespace {

namespace fs = std::filesystem;

void touch(const fs::path& path) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << "x";
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(CheckpointFolder, KnowsItsNames) {
  EXPECT_EQ(folder_name(1200), "step-00001200");
  EXPECT_EQ(shard_file_name(3), "rank-0003.h5");
  EXPECT_EQ(step_of("/run/checkpoints/step-00001200"), 1200);
  EXPECT_EQ(step_of("/run/checkpoints/step-00001200/"), 1200);
  EXPECT_EQ(step_of("step-123456789"), 123456789);
  for (const char* other :
       {"step-00001200.partial", "step-1200", "step-0000120a", "best", "step-", "xstep-00000001"})
    EXPECT_FALSE(step_of(other)) << other;
}

TEST(CheckpointFolder, ListsCommittedOnesOnlyByStep) {
  const test::TemporaryDirectory run;
  EXPECT_TRUE(list(run.path() / "none").empty());
  EXPECT_FALSE(newest(run.path()));
  for (const char* name :
       {"step-00000010", "step-100000000", "step-00000900", "step-00000901.partial", "best"})
    touch(run.path() / name / "f");
  touch(run.path() / "step-00000999");  // a file
  const auto all = list(run.path());
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(name_of(all[0]), "step-00000010");
  EXPECT_EQ(name_of(all[2]), "step-100000000");
  EXPECT_EQ(newest(run.path()), all[2]);
}

TEST(CheckpointFolder, ResolvesWhatAUserMeans) {
  const test::TemporaryDirectory run;
  const fs::path folder = run.path() / "checkpoints";
  touch(folder / "step-00000010" / kManifestFile);
  touch(folder / "step-00000020" / kManifestFile);
  touch(folder / "step-00000030.partial" / "rank-0000.h5");
  EXPECT_EQ(resolve(run.path()), folder / "step-00000020");
  EXPECT_EQ(resolve(folder), folder / "step-00000020");
  EXPECT_EQ(resolve(folder / "step-00000010"), folder / "step-00000010");
  fs::copy(folder / "step-00000010", run.path() / "renamed");
  EXPECT_EQ(resolve(run.path() / "renamed"), run.path() / "renamed");
  EXPECT_THROW(resolve(folder / "step-00000030.partial"), CheckpointError);
  EXPECT_THROW(resolve(folder / "step-00000040"), ConfigError);
  EXPECT_THROW(resolve(folder / "step-00000010" / kManifestFile), ConfigError);
  fs::create_directory(run.path() / "empty");
  EXPECT_THROW(resolve(run.path() / "empty"), ConfigError);
}

TEST(CheckpointFolder, DeletesTheOldestButNeverTheOneJustSavedOrAnythingElse) {
  const test::TemporaryDirectory run;
  for (const char* name :
       {"step-00000001", "step-00000002", "step-00000003", "step-00000004", "best", "step-7"})
    touch(run.path() / name / "f");
  remove_old_checkpoints(run.path(), 2, 1);
  EXPECT_THAT(names_in(run.path()),
              ::testing::ElementsAre("best", "step-00000001", "step-00000003", "step-00000004", "step-7"));
  remove_old_checkpoints(run.path(), 1, 4);
  EXPECT_THAT(names_in(run.path()), ::testing::ElementsAre("best", "step-00000004", "step-7"));
  remove_old_checkpoints(run.path(), 0, 4);
  EXPECT_THAT(names_in(run.path()), ::testing::ElementsAre("best", "step-00000004", "step-7"));
}

TEST(CheckpointFolder, APartialFolderGoesUnlessItIsCommitted) {
  const test::TemporaryDirectory run;
  {
    const PartialFolder partial(run.path(), 5);
    touch(partial_path(run.path(), 5) / "f");
  }
  EXPECT_TRUE(names_in(run.path()).empty());
  touch(run.path() / "step-00000005" / "old");
  {
    PartialFolder partial(run.path(), 5);
    touch(partial_path(run.path(), 5) / "new");
    partial.commit();
  }
  EXPECT_THAT(names_in(run.path()), ::testing::ElementsAre("step-00000005"));
  EXPECT_THAT(names_in(run.path() / "step-00000005"), ::testing::ElementsAre("new"));
  touch(run.path() / "step-00000009.partial" / "f");
  touch(run.path() / "notes.partial" / "f");
  remove_partial_folders(run.path());
  EXPECT_THAT(names_in(run.path()), ::testing::ElementsAre("notes.partial", "step-00000005"));
}

}  // namespace
}  // namespace vrwkv::checkpoint
