// SPDX-License-Identifier: Apache-2.0
// How fast one thread turns image files into what a micro-batch holds of them: reads, decodes, resizes to
// every size and packs. bench/data/image_peer.py runs it in turns with a PyTorch DataLoader and compares the
// bytes.
//
//   bench_data_image FOLDER [--sizes 448,1024] [--pillow13] [--seconds 2] [--dump FOLDER]
//
// Prints one line of JSON. --dump writes NAME.SIZE, the planes of each image (3, SIZE, SIZE), instead of
// timing.
#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "data/batch.h"
#include "data/image/image.h"

namespace vrwkv::data {
namespace {

struct Options {
  std::filesystem::path folder, dump;
  std::vector<std::int64_t> sizes = {448, 1024};
  ImageOptions images;
  double seconds = 2;
};

Options read_options(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == count) throw ConfigError("{}: needs a value", word);
      return words[++i];
    };
    if (word == "--sizes") {
      options.sizes.clear();
      std::istringstream list(value());
      for (std::string size; std::getline(list, size, ',');) options.sizes.push_back(std::stoll(size));
    } else if (word == "--pillow13") {
      options.images.resize_order = ResizeOrder::kPillow13;
    } else if (word == "--seconds") {
      options.seconds = std::stod(value());
    } else if (word == "--dump") {
      options.dump = value();
    } else {
      options.folder = word;
    }
  }
  return options;
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

Sample read(const std::filesystem::path& file, const Options& options) {
  Sample sample;
  sample.tokens.image_starts = {0};
  const Image image = decode_image(file, options.images);
  for (const std::int64_t size : options.sizes)
    sample.pixels[size].push_back(resize_to_square(image, size, options.images.resize_order));
  return sample;
}

void dump(const std::vector<std::filesystem::path>& files, const Options& options) {
  for (const std::filesystem::path& file : files)
    for (const auto& [size, images] : read(file, options).pixels) {
      std::ofstream out(options.dump / fmt::format("{}.{}", file.filename().string(), size),
                        std::ios::binary);
      out.write(static_cast<const char*>(images[0].const_data_ptr()), images[0].numel());
    }
}

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void measure(const std::vector<std::filesystem::path>& files, const Options& options) {
  constexpr std::size_t kBatch = 8;
  std::int64_t images = 0;
  const double begin = cpu_seconds();
  double seconds = 0;
  while (seconds < options.seconds) {
    std::vector<Sample> samples;
    for (std::size_t i = 0; i < kBatch; ++i)
      samples.push_back(read(files[static_cast<std::size_t>(images++) % files.size()], options));
    pack(samples, options.sizes);
    seconds = cpu_seconds() - begin;
  }
  fmt::print("{{\"images\": {}, \"cpu_seconds\": {:.4f}, \"images_per_cpu_second\": {:.1f}}}\n", images,
             seconds, static_cast<double>(images) / seconds);
}

}  // namespace
}  // namespace vrwkv::data

int main(int count, char** words) try {
  using namespace vrwkv::data;
  const Options options = read_options(count, words);
  const std::vector<std::filesystem::path> files = files_of(options.folder);
  if (options.dump.empty())
    measure(files, options);
  else
    dump(files, options);
  return 0;
} catch (const std::exception& error) {
  std::fputs(error.what(), stderr);
  return 1;
}
