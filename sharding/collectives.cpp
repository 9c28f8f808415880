// SPDX-License-Identifier: Apache-2.0
#include "sharding/collectives.h"

#include <ATen/ATen.h>

#include <numeric>

#include "common/error.h"

namespace vrwkv::sharding {
namespace {

void require_flat_of(const at::Tensor& tensor, std::span<const std::int64_t> counts, int size,
                     const char* what) {
  const std::int64_t expected = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  if (static_cast<int>(counts.size()) != size || tensor.dim() != 1 || tensor.numel() != expected ||
      tensor.scalar_type() != at::kFloat || !tensor.is_contiguous())
    throw ShapeError(
        "{}: {} counts of {} elements in all for a tensor of {} ({} ranks; 1-D contiguous fp32).", what,
        counts.size(), expected, tensor.numel(), size);
}

constexpr auto kFloatBytes = static_cast<std::int64_t>(sizeof(float));

}  // namespace

void Collectives::all_to_all(const at::Tensor& send, std::span<const std::int64_t> send_counts,
                             const at::Tensor& receive, std::span<const std::int64_t> receive_counts,
                             const char* what) {
  require_flat_of(send, send_counts, size(), what);
  require_flat_of(receive, receive_counts, size(), what);
  do_all_to_all(send, send_counts, receive, receive_counts, what);
  bytes_sent_ += (send.numel() - send_counts[static_cast<std::size_t>(rank())]) * kFloatBytes;
}

void Collectives::all_gather_in_place(const at::Tensor& data, std::span<const std::int64_t> counts,
                                      const char* what) {
  require_flat_of(data, counts, size(), what);
  do_all_gather_in_place(data, counts, what);
  bytes_sent_ += counts[static_cast<std::size_t>(rank())] * (size() - 1) * kFloatBytes;
}

std::vector<double> Collectives::all_gather(std::span<const double> values, const char* what) {
  bytes_sent_ += static_cast<std::int64_t>(values.size_bytes()) * (size() - 1);
  return do_all_gather(values, what);
}

}  // namespace vrwkv::sharding
