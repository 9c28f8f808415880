// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/batch.h"
#include "trainer/model/model_config.h"

namespace vrwkv::bench {

/// One sample: its images, then tokens without and tokens with a label.
struct SampleShape {
  std::int64_t images = 0, question = 0, answer = 0;
};

/// A model and a micro-batch for it.
struct StepShape {
  std::string name;
  model::ModelConfig model;
  std::vector<SampleShape> samples;
};

/// "smallest"; "quickstart", of configs/quickstart-stage2.toml; "0b1", the published language model of 0.1B
/// without encoders, whose work is the same on both sides; "rows" and "answers", the same on 4 x 512 tokens,
/// all or the last quarter of each row supervised; "short_rows" and "short_answers", on 4 x 256;
/// "smallest_rows", a tiny one like these.
std::vector<StepShape> step_shapes();
/// The one of this name. @throws ConfigError.
StepShape step_shape(const std::string& name);

/// Random tokens and pixels.
data::MicroBatch make_batch(const StepShape& shape, const std::vector<std::int64_t>& image_sizes);

}  // namespace vrwkv::bench
