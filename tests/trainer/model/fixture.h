// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "common/hdf5/file.h"
#include "trainer/model/visual_rwkv.h"

namespace vrwkv::model::test {

/// fp32 on both sides, sums in another order: a few units of 1e-7, more in gradients, which pass twice as
/// many sums.
inline constexpr double kForwardTolerance = 1e-5;
inline constexpr double kGradientTolerance = 1e-4;

inline double relative_rms(const at::Tensor& actual, const at::Tensor& expected) {
  const at::Tensor difference = (actual - expected).to(at::kDouble);
  return difference.norm().item<double>() / (expected.to(at::kDouble).norm().item<double>() + 1e-30);
}

/// A file that tools/fixtures/make_model_fixtures.py made.
class Fixture {
 public:
  explicit Fixture(const std::string& name)
      : file_(hdf5::File::open(std::filesystem::path(VRWKV_TEST_FIXTURES) / "model" / name)) {}

  at::Tensor floats(const std::string& name) const {
    return at::tensor(file_.read_floats(name)).view(file_.dims(name));
  }
  at::Tensor integers(const std::string& name) const {
    return at::tensor(file_.read_integers(name)).view(file_.dims(name));
  }

  /// A model with the file's parameters, after a check that it has exactly these, by name and shape.
  VisualRwkv model(const ModelConfig& config) const {
    VisualRwkv model(config, /*seed=*/1);
    std::int64_t in_file = 0;
    for (const auto& [name, tensor] : model.parameters()) {
      if (!file_.has("parameters/" + name)) {
        EXPECT_TRUE(name.starts_with("rwkv.") || name.starts_with("proj."))
            << name << " is not in the fixture";
        continue;
      }
      ++in_file;
      const at::Tensor value = floats("parameters/" + name);
      EXPECT_EQ(value.sizes(), tensor.sizes()) << name;
      at::Tensor(tensor).copy_(value);
    }
    EXPECT_EQ(in_file, integers("parameter_count").item<std::int64_t>());
    return model;
  }

 private:
  hdf5::File file_;
};

}  // namespace vrwkv::model::test
