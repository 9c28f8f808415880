// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace vrwkv::sharding {

/// What sharded training asks of the message layer. Every call but the getters is collective: all ranks make
/// the same calls in the same order. `what` names the exchange in messages. Every call @throws CommError when
/// a peer does not answer within the limit of the implementation or the library reports a failure; nothing
/// may be called after that.
class Collectives {
 public:
  Collectives() = default;
  Collectives(const Collectives&) = delete;
  Collectives& operator=(const Collectives&) = delete;
  virtual ~Collectives() = default;

  /// The most elements that one all_to_all may send, or receive, in all: MPI-3 counts and offsets are int.
  static constexpr std::int64_t kMostElements = std::numeric_limits<int>::max();

  virtual int rank() const noexcept = 0;
  virtual int size() const noexcept = 0;

  /// Sends send_counts[r] elements to each rank r and receives receive_counts[r] from it. `send` and
  /// `receive` are 1-D contiguous fp32 and hold the parts end to end in rank order; receive_counts[r] here is
  /// send_counts[here] at r.
  void all_to_all(const at::Tensor& send, std::span<const std::int64_t> send_counts,
                  const at::Tensor& receive, std::span<const std::int64_t> receive_counts, const char* what);

  /// `data`, 1-D contiguous fp32 of any length, holds every rank's part end to end (counts[r] elements); this
  /// rank's part is filled, the call fills the others.
  void all_gather_in_place(const at::Tensor& data, std::span<const std::int64_t> counts, const char* what);

  /// Every rank's values end to end in rank order; ranks may give different counts.
  std::vector<double> all_gather(std::span<const double> values, const char* what);

  /// Payload this rank has addressed to other ranks since the start: each value counts once for every rank it
  /// is for.
  std::int64_t bytes_sent() const noexcept { return bytes_sent_; }

 private:
  virtual void do_all_to_all(const at::Tensor& send, std::span<const std::int64_t> send_counts,
                             const at::Tensor& receive, std::span<const std::int64_t> receive_counts,
                             const char* what) = 0;
  virtual void do_all_gather_in_place(const at::Tensor& data, std::span<const std::int64_t> counts,
                                      const char* what) = 0;
  virtual std::vector<double> do_all_gather(std::span<const double> values, const char* what) = 0;

  std::int64_t bytes_sent_ = 0;
};

}  // namespace vrwkv::sharding
