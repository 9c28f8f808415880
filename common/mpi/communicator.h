// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <chrono>
#include <cstdint>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "common/unique_handle.h"

namespace vrwkv::mpi {

/// @throws CommError with MPI's own text, `call` and the place when `code` is not MPI_SUCCESS.
void check(int code, const char* call, std::source_location place = std::source_location::current());

struct CommunicatorTraits {
  using type = MPI_Comm;
  static MPI_Comm null() noexcept { return MPI_COMM_NULL; }
  static void release(MPI_Comm comm) noexcept;
};

/// A group of ranks whose messages meet no other group's. Every call that waits for a peer waits at most
/// `limit()` and then throws CommError naming `what`, this rank and the time waited; the communicator is
/// unusable after that. Not for use by two threads at once.
class Communicator {
 public:
  /// Collective over `parent`.
  static Communicator duplicate(MPI_Comm parent);
  /// Collective. Ranks with the same color form a group, ordered by key.
  Communicator split(int color, int key) const;
  /// Collective. The ranks that share this one's memory, in the order of their ranks here.
  Communicator split_by_node() const;

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }
  MPI_Comm get() const noexcept { return handle_.get(); }

  std::chrono::seconds limit() const noexcept { return limit_; }
  void set_limit(std::chrono::seconds limit) noexcept { limit_ = limit; }

  /// All collective; `what` names the exchange in messages.
  void barrier(const char* what) const;
  void broadcast(std::span<std::byte> data, int root, const char* what) const;
  std::string broadcast(const std::string& text, int root, const char* what) const;
  std::int64_t sum(std::int64_t value, const char* what) const;
  std::int64_t max(std::int64_t value, const char* what) const;
  double max(double value, const char* what) const;
  /// Element by element, in place.
  void sum(std::span<std::int64_t> values, const char* what) const;
  void max(std::span<double> values, const char* what) const;
  /// Element r is rank r's text.
  std::vector<std::string> all_gather(const std::string& text, const char* what) const;
  /// Every rank's values end to end in rank order; ranks may give different counts.
  std::vector<double> all_gather(std::span<const double> values, const char* what) const;
  /// Sends counts and receives counts as MPI_Ialltoallv; offsets follow from the counts.
  void all_to_all(std::span<const float> send, std::span<const std::int64_t> send_counts,
                  std::span<float> receive, std::span<const std::int64_t> receive_counts,
                  const char* what) const;
  /// `data` holds every rank's part end to end (`counts` elements each), this rank's filled; fills the
  /// others.
  void all_gather_in_place(std::span<float> data, std::span<const std::int64_t> counts,
                           const char* what) const;

 private:
  explicit Communicator(MPI_Comm handle);
  void reduce_in_place(void* values, std::size_t count, MPI_Datatype type, MPI_Op operation,
                       const char* what) const;
  /// Waits for one started operation within the limit.
  void wait(MPI_Request request, const char* what) const;

  UniqueHandle<CommunicatorTraits> handle_;
  int rank_ = 0;
  int size_ = 1;
  std::chrono::seconds limit_{1800};
};

/// Seconds this process has spent waiting inside Communicator calls since it started.
double seconds_waited() noexcept;

}  // namespace vrwkv::mpi
