// SPDX-License-Identifier: Apache-2.0
// Loading published files against a plain loop that maps the same files and converts the same bytes to fp32,
// one element after the other, into fresh memory.    bench_trainer_load FILE...
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "common/tensor_file/tensor_file.h"
#include "trainer/load_model.h"
#include "trainer/weight_source.h"
#include "trainer/weights/load.h"

namespace {

using vrwkv::tensor_file::ElementType;
using vrwkv::tensor_file::TensorFile;

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Only what the model keeps, so that both do the same: no text tower.
bool is_kept(const std::string& name) {
  return !name.starts_with("text.") && !name.starts_with("mask_decoder.");
}

void convert_plainly(const std::vector<std::filesystem::path>& files) {
  std::vector<std::unique_ptr<float[]>> tensors;
  for (const auto& path : files) {
    const TensorFile file = TensorFile::open(path);
    for (const auto& tensor : file.tensors()) {
      if (!is_kept(tensor.name)) continue;
      const auto count = static_cast<std::size_t>(tensor.numel());
      std::unique_ptr<float[]> values(new float[count]);
      if (tensor.type == ElementType::kBFloat16) {
        const auto* bits = static_cast<const std::uint16_t*>(file.data(tensor));
        for (std::size_t i = 0; i < count; ++i) {
          const std::uint32_t wide = static_cast<std::uint32_t>(bits[i]) << 16;
          std::memcpy(&values[i], &wide, sizeof wide);
        }
      } else {
        const auto* stored = static_cast<const float*>(file.data(tensor));
        for (std::size_t i = 0; i < count; ++i) values[i] = stored[i];
      }
      tensors.push_back(std::move(values));
    }
  }
}

void load(const std::vector<std::filesystem::path>& files) {
  const auto source = vrwkv::trainer::open_published_weights(files);
  const auto config = vrwkv::trainer::infer_config(source, {});
  const auto model = vrwkv::model::VisualRwkv::uninitialized(config.model);
  vrwkv::weights::load(source.table, model);
}

}  // namespace

int main(int count, char** arguments) {
  at::set_num_threads(1);
  const std::vector<std::filesystem::path> files(arguments + 1, arguments + count);
  load(files);  // the files are in the page cache from here on
  double plain = 1e9, ours = 1e9;
  for (int round = 0; round < 3; ++round) {
    plain = std::min(plain, seconds([&] { convert_plainly(files); }));
    ours = std::min(ours, seconds([&] { load(files); }));
  }
  fmt::print(
      "{{\"benchmark\": \"load\", \"plain_seconds\": {:.3f}, \"seconds\": {:.3f}, \"ratio\": {:.3f}}}\n",
      plain, ours, ours / plain);
}
