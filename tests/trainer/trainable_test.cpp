// SPDX-License-Identifier: Apache-2.0
#include "trainer/trainable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/trainer/tiny_model.h"

namespace vrwkv::trainer {
namespace {

using ::testing::ElementsAre;

/// The first two parts of the names of all parameters that learn: "proj.gate", "rwkv.blocks".
std::set<std::string> learning(const TrainableParts& parts) {
  std::set<std::string> found;
  const auto model = model::VisualRwkv::uninitialized(test::tiny_config());
  for (const auto& parameter : model.parameters())
    if (parts.includes(parameter.name))
      found.insert(parameter.name.substr(0, parameter.name.find('.', parameter.name.find('.') + 1)));
  return found;
}

TEST(TrainableParts, StageOneTrainsTheProjector) {
  EXPECT_THAT(learning(TrainableParts::of_stage(1)), ElementsAre("proj.gate", "proj.ln_v", "proj.o_proj"));
}

TEST(TrainableParts, StageTwoTrainsAllButTheEmbeddingAndTheEncoders) {
  EXPECT_THAT(learning(TrainableParts::of_stage(2)), ElementsAre("proj.gate", "proj.ln_v", "proj.o_proj",
                                                                 "rwkv.blocks", "rwkv.head", "rwkv.ln_out"));
}

TEST(TrainableParts, EveryPartHasItsParametersAndTheEncodersNeverLearn) {
  EXPECT_THAT(learning(TrainableParts::of_names({"blocks"})), ElementsAre("rwkv.blocks", "rwkv.ln_out"));
  EXPECT_THAT(learning(TrainableParts::of_names({"head"})), ElementsAre("rwkv.head"));
  EXPECT_THAT(learning(TrainableParts::of_names({"embedding"})), ElementsAre("rwkv.emb"));
  for (const std::string& part :
       learning(TrainableParts::of_names({"embedding", "head", "blocks", "projector"})))
    EXPECT_FALSE(part.starts_with("vit.")) << part;
}

TEST(TrainableParts, NamesComeInOneOrder) {
  const std::vector<std::string> all = {"projector", "blocks", "head", "embedding"};
  EXPECT_EQ(TrainableParts::of_names({"embedding", "head", "blocks", "projector"}).names(), all);
  EXPECT_THAT(TrainableParts::of_stage(1).names(), ElementsAre("projector"));
}

}  // namespace
}  // namespace vrwkv::trainer
