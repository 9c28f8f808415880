// SPDX-License-Identifier: Apache-2.0
#include "sharding/mpi_collectives.h"

#include <ATen/ATen.h>

namespace vrwkv::sharding {
namespace {

std::span<float> elements(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

}  // namespace

void MpiCollectives::do_all_to_all(const at::Tensor& send, std::span<const std::int64_t> send_counts,
                                   const at::Tensor& receive, std::span<const std::int64_t> receive_counts,
                                   const char* what) {
  comm_.all_to_all(elements(send), send_counts, elements(receive), receive_counts, what);
}

void MpiCollectives::do_all_gather_in_place(const at::Tensor& data, std::span<const std::int64_t> counts,
                                            const char* what) {
  if (size() == 1) return;
  std::span<float> rest = elements(data);
  if (data.numel() <= most_elements_) return comm_.all_gather_in_place(rest, counts, what);
  for (int root = 0; root < size(); ++root) {
    const auto count = static_cast<std::size_t>(counts[static_cast<std::size_t>(root)]);
    comm_.broadcast(std::as_writable_bytes(rest.first(count)), root, what);
    rest = rest.subspan(count);
  }
}

std::vector<double> MpiCollectives::do_all_gather(std::span<const double> values, const char* what) {
  return comm_.all_gather(values, what);
}

}  // namespace vrwkv::sharding
