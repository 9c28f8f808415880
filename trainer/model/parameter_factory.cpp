// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/parameter_factory.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "common/random.h"

namespace vrwkv::model {
namespace {

constexpr std::int64_t kLanes = 8;

/// Summed in a fixed number of lanes, so that the compiler may use vectors without changing the result.
double dot(const double* x, const double* y, std::int64_t length) {
  std::array<double, kLanes> sums{};
  std::int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += x[i + lane] * y[i + lane];
  double sum = 0;
  for (; i < length; ++i) sum += x[i] * y[i];
  for (const double lane : sums) sum += lane;
  return sum;
}

/// Modified Gram-Schmidt over the rows. Random rows are far from dependent, so one pass is enough in double.
/// (LAPACK's QR would do, but its bits depend on the number of threads.)
void orthonormalize_rows(double* rows, std::int64_t count, std::int64_t length) {
  for (std::int64_t i = 0; i < count; ++i) {
    double* row = rows + i * length;
    for (std::int64_t j = 0; j < i; ++j) {
      const double* other = rows + j * length;
      const double projection = dot(row, other, length);
      for (std::int64_t c = 0; c < length; ++c) row[c] -= projection * other[c];
    }
    const double scale = 1 / std::sqrt(dot(row, row, length));
    for (std::int64_t c = 0; c < length; ++c) row[c] *= scale;
  }
}

}  // namespace

ParameterFactory::ParameterFactory(std::uint64_t seed, Draws draws, std::vector<NamedTensor>& list,
                                   std::string prefix)
    : seed_(seed), draws_(std::move(draws)), list_(&list), prefix_(std::move(prefix)) {}

ParameterFactory ParameterFactory::below(const std::string& prefix) const {
  return {seed_, draws_, *list_, prefix_ + prefix};
}

ParameterFactory ParameterFactory::block(std::int64_t index) const {
  return below("blocks." + std::to_string(index) + ".");
}

at::Generator ParameterFactory::generator(const std::string& name) const {
  return at::detail::createCPUGenerator(derive_seed(seed_, prefix_ + name));
}

at::Tensor ParameterFactory::add(const std::string& name, at::IntArrayRef shape,
                                 const std::function<void(at::Tensor&)>& fill) const {
  const at::NoGradGuard no_grad;
  at::Tensor tensor = at::empty(shape, at::TensorOptions(at::kFloat).device(draws_ ? at::kCPU : at::kMeta));
  if (draws_ && draws_(prefix_ + name)) fill(tensor);
  list_->push_back({prefix_ + name, tensor});
  return tensor;
}

at::Tensor ParameterFactory::constant(const std::string& name, at::IntArrayRef shape, double value) const {
  return add(name, shape, [&](at::Tensor& tensor) { tensor.fill_(value); });
}

at::Tensor ParameterFactory::uniform(const std::string& name, at::IntArrayRef shape, double bound) const {
  return add(name, shape, [&](at::Tensor& tensor) { tensor.uniform_(-bound, bound, generator(name)); });
}

at::Tensor ParameterFactory::normal(const std::string& name, at::IntArrayRef shape, double deviation) const {
  return add(name, shape, [&](at::Tensor& tensor) { tensor.normal_(0, deviation, generator(name)); });
}

at::Tensor ParameterFactory::orthogonal(const std::string& name, std::int64_t rows, std::int64_t columns,
                                        double gain) const {
  return add(name, {rows, columns}, [&](at::Tensor& tensor) {
    const std::int64_t count = std::min(rows, columns);
    const std::int64_t length = std::max(rows, columns);
    at::Tensor matrix = at::empty({count, length}, at::kDouble).normal_(0, 1, generator(name));
    orthonormalize_rows(matrix.mutable_data_ptr<double>(), count, length);
    if (rows > columns)
      matrix = matrix.t() * std::sqrt(static_cast<double>(rows) / static_cast<double>(columns));
    tensor.copy_(matrix * gain);
  });
}

at::Tensor ParameterFactory::per_channel(const std::string& name, std::int64_t channels,
                                         const std::function<double(std::int64_t)>& value_of) const {
  return add(name, {1, 1, channels}, [&](at::Tensor& tensor) {
    auto* values = tensor.mutable_data_ptr<float>();
    for (std::int64_t channel = 0; channel < channels; ++channel)
      values[channel] = static_cast<float>(value_of(channel));
  });
}

}  // namespace vrwkv::model
