// SPDX-License-Identifier: Apache-2.0
#include "sharding/mpi_collectives.h"

#include <ATen/ATen.h>

namespace vrwkv::sharding {
namespace {

/// The same values in main memory: the tensor itself, or a pinned copy.
at::Tensor on_host(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  at::Tensor host = at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(true));
  return host.copy_(tensor);
}

/// Brings back what was received in a copy.
void copy_back(const at::Tensor& host, const at::Tensor& tensor) {
  if (!host.is_same(tensor)) tensor.copy_(host);
}

std::span<float> elements(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

}  // namespace

void MpiCollectives::do_all_to_all(const at::Tensor& send, std::span<const std::int64_t> send_counts,
                                   const at::Tensor& receive, std::span<const std::int64_t> receive_counts,
                                   const char* what) {
  const at::Tensor received = on_host(receive);
  comm_.all_to_all(elements(on_host(send)), send_counts, elements(received), receive_counts, what);
  copy_back(received, receive);
}

void MpiCollectives::do_all_gather_in_place(const at::Tensor& data, std::span<const std::int64_t> counts,
                                            const char* what) {
  if (size() == 1) return;
  const at::Tensor host = on_host(data);
  std::span<float> rest = elements(host);
  if (data.numel() <= most_elements_) {
    comm_.all_gather_in_place(rest, counts, what);
  } else {
    for (int root = 0; root < size(); ++root) {
      const auto count = static_cast<std::size_t>(counts[static_cast<std::size_t>(root)]);
      comm_.broadcast(std::as_writable_bytes(rest.first(count)), root, what);
      rest = rest.subspan(count);
    }
  }
  copy_back(host, data);
}

std::vector<double> MpiCollectives::do_all_gather(std::span<const double> values, const char* what) {
  return comm_.all_gather(values, what);
}

}  // namespace vrwkv::sharding
