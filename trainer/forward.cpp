// SPDX-License-Identifier: Apache-2.0
#include "trainer/forward.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/core.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/hdf5/file.h"
#include "common/hdf5/partial_file.h"
#include "kernels/fp32_product/fp32_product.h"
#include "sharding/flat_parameters.h"
#include "sharding/gradient_reducer.h"
#include "sharding/leaf_sums.h"
#include "sharding/shard_layout.h"
#include "trainer/block_schedule.h"
#include "trainer/model/layers.h"

namespace vrwkv::trainer {
namespace {

template <class Element>
void write(hdf5::File& file, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor whole = tensor.to(c10::CppTypeToScalarType<Element>::value).cpu().contiguous();
  file.write(
      name,
      std::span<const Element>(whole.const_data_ptr<Element>(), static_cast<std::size_t>(whole.numel())),
      whole.sizes().vec());
}

void write_scalar(hdf5::File& file, const std::string& name, double value) {
  const auto rounded = static_cast<float>(value);
  file.write(name, std::span<const float>(&rounded, 1), hdf5::Dims{});
}

data::MicroBatch read_alone(const data::SampleReader& reader, const data::SampleFile& samples,
                            std::int64_t index) {
  return data::pack({reader.read(samples.read(index))}, reader.image_sizes());
}

BatchScale agree_on_scale(const data::SampleReader& reader, const data::SampleFile& samples, L2Wrap l2wrap) {
  BatchScale scale{samples.size(), 0};
  for (std::int64_t i = 0; i < samples.size(); ++i)
    scale.penalty_positions += penalty_positions(read_alone(reader, samples, i), l2wrap);
  return scale;
}

void write_features(hdf5::File& file, const std::string& group, const model::VisualRwkv& model,
                    const data::MicroBatch& batch) {
  for (const auto& [size, pixels] : batch.pixels)
    write<std::uint8_t>(file, fmt::format("{}/pixels/{}", group, size), at::stack(pixels));
  write<float>(file, group + "/image_features", model.encode_images(batch.pixels));
}

void write_sample(hdf5::File& file, std::int64_t index, const model::VisualRwkv& model,
                  const data::MicroBatch& batch, const MicroBatchLoss& result,
                  const ForwardOptions& options) {
  const at::NoGradGuard no_grad;
  const std::string group = fmt::format("/samples/{}", index);
  write<std::int64_t>(file, group + "/token_ids", batch.token_ids);
  write<std::int64_t>(file, group + "/labels", batch.labels);
  write_scalar(file, group + "/loss", result.sample_losses.at(0));
  if (options.logits)
    write<float>(file, group + "/logits",
                 kernels::fp32_product(result.hidden, model::typed_as(model.head(), result.hidden).t()));
  if (options.features && batch.image_starts.numel() > 0) write_features(file, group, model, batch);
}

}  // namespace

void write_forward(const model::VisualRwkv& model, const data::SampleReader& reader,
                   const data::SampleFile& samples, const ForwardOptions& options,
                   sharding::Collectives& alone, const std::filesystem::path& output) {
  // Without gradients nothing learns: the flat copy of what does would be memory for nothing.
  const sharding::FlatParameters parameters(
      options.gradients ? options.trainable.trainable(model.parameters()) : std::vector<NamedTensor>{},
      [&](const NamedTensor& parameter) { return model.rounds(parameter); });
  if (options.gradients && parameters.entries().empty())
    throw ConfigError(
        "forward: no parameter of this model learns in this stage (there are no gradients). Choose "
        "another --stage, or leave --gradients out.");
  const BlockSchedule schedule(model, parameters,
                               {.recompute = {}, .l2wrap = options.l2wrap, .keep_hidden = options.logits});
  std::optional<sharding::GradientReducer> reducer;
  if (options.gradients)
    reducer.emplace(sharding::ShardLayout(parameters.numel(), 1), alone, samples.size(),
                    sharding::GradientReducer::kBucketElements, model.device());

  hdf5::PartialFile partial(output);
  const BatchScale scale = agree_on_scale(reader, samples, options.l2wrap);
  std::vector<double> losses;
  for (std::int64_t i = 0; i < samples.size(); ++i) {
    const data::MicroBatch batch = read_alone(reader, samples, i);
    const MicroBatchLoss result = schedule.run(batch, scale, reducer ? reducer->leaf() : at::Tensor());
    if (reducer) reducer->finish_leaf();
    losses.push_back(result.loss);
    write_sample(partial.file(), i, model, batch, result, options);
  }
  write_scalar(partial.file(), "/loss", sharding::sum_over_leaves(losses, samples.size(), alone));
  if (reducer) {
    const at::Tensor gradient = reducer->reduce();
    for (std::size_t i = 0; i < parameters.entries().size(); ++i)
      write<float>(partial.file(), "/gradients/" + parameters.entries()[i].name,
                   parameters.view(gradient, i));
  }
  partial.commit();
}

}  // namespace vrwkv::trainer
