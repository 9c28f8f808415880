// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <png.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/random.h"
#include "tests/data/data_test_support.h"
#include "trainer/trainer_config.h"

/// A whole run in one folder: run.toml, a LLaVA data set mix.json, and its images.
namespace vrwkv::test {

/// A run of 6 steps of 12 micro-batches; relative paths.
inline std::string tiny_run_toml() {
  return R"([model]
n_layer = 2
n_embd = 64
head_size = 32
vocabulary_size = 300

[vision]
tokens_per_image = 4

[vision.dinov2]
image_size = 8
patch_size = 2
width = 8
depth = 2
heads = 2
mlp_hidden = 16

[vision.siglip]
image_size = 16
patch_size = 4
width = 8
depth = 2
heads = 2
mlp_hidden = 16

[data]
file = "mix.json"
image_folder = "images"
vocabulary = ")" +
         vocabulary_file().string() + R"("
context_length = 128

[train]
stage = 2
steps = 6
global_batch_size = 24
micro_batch_size = 2
seed = 3

[optimizer]
learning_rate = 1e-2
final_learning_rate = 1e-3
weight_decay = 0.01

[sharding]
bucket_elements = 65536

[checkpoint]
every_steps = 2

[run]
directory = "run"
)";
}

/// @param settings  "table.key=value", as --set has them.
inline trainer::TrainerConfig tiny_run_config(const std::filesystem::path& folder,
                                              const std::vector<std::string>& settings = {}) {
  return trainer::read_trainer_config(TomlDocument::parse(tiny_run_toml(), folder / "run.toml", settings));
}

/// A picture of coloured noise that differs by `number`.
inline void write_png(const std::filesystem::path& file, std::uint64_t number) {
  constexpr std::uint64_t kWidth = 11, kHeight = 7;
  std::vector<std::uint8_t> rgb;
  for (std::uint64_t i = 0; i < kWidth * kHeight * 3; ++i)
    rgb.push_back(static_cast<std::uint8_t>(mix64(number * 1000 + i + 1)));
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = kWidth;
  image.height = kHeight;
  image.format = PNG_FORMAT_RGB;
  if (png_image_write_to_file(&image, file.c_str(), 0, rgb.data(), 0, nullptr) == 0)
    throw IoError("{}: cannot be written ({})", file.string(), image.message);
}

/// Question and answer; `images` marks and file names.
inline std::string tiny_record(std::uint64_t number, std::int64_t images, const std::string& answer) {
  std::string files, marks;
  for (std::int64_t image = 0; image < images; ++image) {
    files += fmt::format("{}\"{}.png\"", files.empty() ? "" : ", ",
                         (number + static_cast<std::uint64_t>(image)) % 5);
    marks += "<image>\\n";
  }
  return fmt::format(
      R"({{"id": "sample-{}", {}"conversations": [{{"from": "human", "value": "{}What is {}?"}}, )"
      R"({{"from": "gpt", "value": "{}"}}]}})",
      number, images > 0 ? fmt::format("\"image\": [{}], ", files) : "", marks, mix64(number) % 1000, answer);
}

inline void write_records(const std::filesystem::path& file, const std::vector<std::string>& records) {
  std::string array;
  for (const std::string& record : records) array += (array.empty() ? "[" : ",\n") + record;
  write_file(file, array + "]\n");
}

/// `samples` samples with no, one or two of five images, and answers of different lengths.
inline void write_tiny_data(const std::filesystem::path& folder, std::uint64_t samples = 40) {
  std::filesystem::create_directories(folder / "images");
  for (std::uint64_t image = 0; image < 5; ++image)
    write_png(folder / "images" / fmt::format("{}.png", image), image);
  std::vector<std::string> records;
  for (std::uint64_t i = 0; i < samples; ++i)
    records.push_back(tiny_record(i, static_cast<std::int64_t>(mix64(i + 1) % 3),
                                  std::string(1 + mix64(i + 100) % 9, static_cast<char>('a' + i % 26))));
  write_records(folder / "mix.json", records);
}

}  // namespace vrwkv::test
