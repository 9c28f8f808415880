// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "sharding/collectives.h"

namespace vrwkv::test {

/// What the ranks of a simulated job share.
struct ThreadGroup {
  explicit ThreadGroup(int size) : barrier(size), posted(static_cast<std::size_t>(size)) {}
  struct Message {
    std::span<const float> values;
    std::span<const std::int64_t> counts;
    std::span<const double> numbers;
  };
  std::barrier<> barrier;
  std::vector<Message> posted;
};

/// Ranks as threads of one process: shows what any world size computes without that many processes.
class ThreadCollectives final : public sharding::Collectives {
 public:
  ThreadCollectives(ThreadGroup& group, int rank) : group_(group), rank_(rank) {}
  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return static_cast<int>(group_.posted.size()); }

 private:
  static std::span<float> elements(const at::Tensor& tensor) {
    return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
  }
  ThreadGroup::Message& mine() { return group_.posted[static_cast<std::size_t>(rank_)]; }

  void do_all_to_all(const at::Tensor& send, std::span<const std::int64_t> send_counts,
                     const at::Tensor& receive, std::span<const std::int64_t> receive_counts,
                     const char*) override {
    mine() = {.values = elements(send), .counts = send_counts, .numbers = {}};
    group_.barrier.arrive_and_wait();
    std::span<float> target = elements(receive);
    for (std::size_t from = 0; from < group_.posted.size(); ++from) {
      const auto& [values, counts, numbers] = group_.posted[from];
      std::int64_t offset = 0;
      for (int rank = 0; rank < rank_; ++rank) offset += counts[static_cast<std::size_t>(rank)];
      const auto count = static_cast<std::size_t>(counts[static_cast<std::size_t>(rank_)]);
      EXPECT_EQ(receive_counts[from], counts[static_cast<std::size_t>(rank_)]);
      const auto part = values.subspan(static_cast<std::size_t>(offset), count);
      std::copy(part.begin(), part.end(), target.begin());
      target = target.subspan(count);
    }
    group_.barrier.arrive_and_wait();
  }

  void do_all_gather_in_place(const at::Tensor& data, std::span<const std::int64_t> counts,
                              const char*) override {
    mine() = {.values = elements(data), .counts = counts, .numbers = {}};
    group_.barrier.arrive_and_wait();
    std::size_t offset = 0;
    for (std::size_t from = 0; from < group_.posted.size(); ++from) {
      const auto count = static_cast<std::size_t>(counts[from]);
      const auto part = group_.posted[from].values.subspan(offset, count);
      if (static_cast<int>(from) != rank_)
        std::copy(part.begin(), part.end(), elements(data).subspan(offset).begin());
      offset += count;
    }
    group_.barrier.arrive_and_wait();
  }

  std::vector<double> do_all_gather(std::span<const double> values, const char*) override {
    mine() = {.values = {}, .counts = {}, .numbers = values};
    group_.barrier.arrive_and_wait();
    std::vector<double> all;
    for (const auto& message : group_.posted)
      all.insert(all.end(), message.numbers.begin(), message.numbers.end());
    group_.barrier.arrive_and_wait();
    return all;
  }

  ThreadGroup& group_;
  int rank_;
};

/// Runs `work` as every rank of a job of `size`, each in its thread, and waits for all. `work` must not
/// throw.
inline void run_ranks(int size, const std::function<void(sharding::Collectives&)>& work) {
  ThreadGroup group(size);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.emplace_back([&group, &work, rank] {
      ThreadCollectives collectives(group, rank);
      work(collectives);
    });
  }
  for (auto& rank : ranks) rank.join();
}

}  // namespace vrwkv::test
