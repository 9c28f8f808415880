// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "common/mpi/communicator.h"
#include "sharding/collectives.h"

namespace vrwkv::sharding {

/// The collectives over MPI. Tensors of a GPU go through pinned main memory. Waits at most the communicator's
/// limit in each exchange.
class MpiCollectives final : public Collectives {
 public:
  /// @param comm           must outlive this object; its messages meet no others while a call runs.
  /// @param most_elements  longest tensor that one all-gather handles at once; longer ones go rank by rank.
  explicit MpiCollectives(const mpi::Communicator& comm, std::int64_t most_elements = kMostElements)
      : comm_(comm), most_elements_(most_elements) {}

  int rank() const noexcept override { return comm_.rank(); }
  int size() const noexcept override { return comm_.size(); }

 private:
  void do_all_to_all(const at::Tensor& send, std::span<const std::int64_t> send_counts,
                     const at::Tensor& receive, std::span<const std::int64_t> receive_counts,
                     const char* what) override;
  void do_all_gather_in_place(const at::Tensor& data, std::span<const std::int64_t> counts,
                              const char* what) override;
  std::vector<double> do_all_gather(std::span<const double> values, const char* what) override;

  const mpi::Communicator& comm_;
  std::int64_t most_elements_;
};

}  // namespace vrwkv::sharding
