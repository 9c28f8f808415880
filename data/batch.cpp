// SPDX-License-Identifier: Apache-2.0
#include "data/batch.h"

#include <ATen/ATen.h>

#include <cstring>
#include <numeric>

#include "common/error.h"

namespace vrwkv::data {
namespace {

at::Tensor to_tensor(const std::vector<std::int64_t>& values) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  if (!values.empty()) std::memcpy(tensor.data_ptr(), values.data(), values.size() * sizeof(values.front()));
  return tensor;
}

/// All samples' images of this size.
std::vector<at::Tensor> images_of(const std::vector<const Sample*>& samples, std::int64_t size) {
  std::vector<at::Tensor> images;
  for (const Sample* sample : samples) {
    const auto found = sample->pixels.find(size);
    const std::size_t loaded = found == sample->pixels.end() ? 0 : found->second.size();
    if (loaded != sample->tokens.image_starts.size())
      throw ShapeError("pack: sample '{}' has {} images of {} pixels a side but places for {}", sample->id,
                       loaded, size, sample->tokens.image_starts.size());
    for (std::size_t image = 0; image < loaded; ++image) {
      const at::Tensor& pixels = found->second[image];
      if (pixels.numel() != 3 * size * size)
        throw ShapeError("pack: an image of sample '{}' holds {} values instead of 3 x {} x {}", sample->id,
                         pixels.numel(), size, size);
      images.push_back(pixels);
    }
  }
  return images;
}

/// (I, P, D) of all samples' images.
at::Tensor stack_features(const std::vector<const Sample*>& samples) {
  std::vector<at::Tensor> features;
  for (const Sample* sample : samples) {
    if (sample->features.size() != sample->tokens.image_starts.size())
      throw ShapeError("pack: sample '{}' has features of {} images but places for {}", sample->id,
                       sample->features.size(), sample->tokens.image_starts.size());
    features.insert(features.end(), sample->features.begin(), sample->features.end());
  }
  return at::stack(features);
}

template <class Value>
void append(std::vector<Value>& all, const std::vector<Value>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

}  // namespace

std::int64_t MicroBatch::supervised_tokens() const {
  return std::accumulate(targets.begin(), targets.end(), std::int64_t{0});
}

MicroBatch pack(const std::vector<Sample>& samples, const std::vector<std::int64_t>& image_sizes) {
  MicroBatch batch;
  std::vector<std::int64_t> token_ids, labels, sequence_starts, image_starts;
  std::vector<const Sample*> good;
  for (const Sample& sample : samples) {
    append(batch.bad, sample.rejected);
    if (sample.replacement) batch.replacements.push_back(*sample.replacement);
    if (!sample.bad.empty()) {
      batch.bad.push_back({sample.record, sample.id, sample.bad});
      continue;
    }
    const Encoded& tokens = sample.tokens;
    const auto start = static_cast<std::int64_t>(token_ids.size());
    sequence_starts.push_back(start);
    for (const std::int64_t image_start : tokens.image_starts) image_starts.push_back(start + image_start);
    append(token_ids, tokens.token_ids);
    append(labels, tokens.labels);
    batch.targets.push_back(tokens.targets);
    batch.packed.push_back({sample.record, sample.id, static_cast<std::int64_t>(tokens.token_ids.size()),
                            tokens.targets, static_cast<std::int64_t>(tokens.image_starts.size()),
                            sample.was_cut});
    good.push_back(&sample);
  }
  batch.token_ids = to_tensor(token_ids);
  batch.labels = to_tensor(labels);
  batch.sequence_starts = to_tensor(sequence_starts);
  batch.image_starts = to_tensor(image_starts);
  for (const std::int64_t size : image_sizes) batch.pixels[size] = images_of(good, size);
  if (image_sizes.empty() && !image_starts.empty()) batch.features = stack_features(good);
  return batch;
}

}  // namespace vrwkv::data
