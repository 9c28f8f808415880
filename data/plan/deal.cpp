// SPDX-License-Identifier: Apache-2.0
#include "data/plan/deal.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

namespace vrwkv::data {
namespace {

using Costs = std::span<const std::int64_t>;

/// Samples are dealt to so many micro-batches together, since whole images leave the single one no choice.
constexpr std::int64_t kMicroBatchesOfAGroup = 8;

/// Some samples, dearest first, or some blocks that keep their places relative to each other.
struct Block {
  std::int64_t cost = 0;
  std::vector<std::int64_t> members;
};

std::int64_t cost_of(Costs costs, std::int64_t sample) { return costs[static_cast<std::size_t>(sample)]; }

void sort_dearest_first(Costs costs, std::vector<std::int64_t>& samples) {
  std::sort(samples.begin(), samples.end(), [&](std::int64_t a, std::int64_t b) {
    return std::pair(cost_of(costs, b), a) < std::pair(cost_of(costs, a), b);
  });
}

/// Longest processing time: each sample to the block that costs the least so far.
std::vector<Block> share_out(Costs costs, const std::vector<std::int64_t>& dearest_first,
                             std::size_t blocks) {
  std::vector<Block> shares(blocks);
  using CostAndNumber = std::pair<std::int64_t, std::size_t>;
  std::priority_queue<CostAndNumber, std::vector<CostAndNumber>, std::greater<>> cheapest;
  for (std::size_t i = 0; i < blocks; ++i) cheapest.emplace(0, i);
  for (const std::int64_t sample : dearest_first) {
    const std::size_t number = cheapest.top().second;
    cheapest.pop();
    Block& share = shares[number];
    share.cost += cost_of(costs, sample);
    share.members.push_back(sample);
    cheapest.emplace(share.cost, number);
  }
  return shares;
}

/// Exchanges a sample of `dear` for one of `cheap` so that the two come as near to each other as one exchange
/// can bring them. @return false where none brings them nearer.
bool exchange(Costs costs, Block& dear, Block& cheap) {
  const std::int64_t gap = dear.cost - cheap.cost;
  std::int64_t least = gap;
  std::size_t given = 0, taken = 0;
  for (std::size_t i = 0, j = 0; i < dear.members.size(); ++i) {
    const auto gap_after = [&](std::size_t other) {
      return gap - 2 * (cost_of(costs, dear.members[i]) - cost_of(costs, cheap.members[other]));
    };
    while (j < cheap.members.size() && gap_after(j) > 0) ++j;  // cheaper ones of `dear` need no earlier j
    for (std::size_t other = j - (j > 0 ? 1 : 0); other <= j && other < cheap.members.size(); ++other) {
      if (std::abs(gap_after(other)) >= least) continue;
      least = std::abs(gap_after(other));
      given = i;
      taken = other;
    }
  }
  if (least == gap) return false;
  const std::int64_t difference = cost_of(costs, dear.members[given]) - cost_of(costs, cheap.members[taken]);
  dear.cost -= difference;
  cheap.cost += difference;
  std::swap(dear.members[given], cheap.members[taken]);
  sort_dearest_first(costs, dear.members);
  sort_dearest_first(costs, cheap.members);
  return true;
}

/// The dearest block exchanges samples with one other after the other, until it costs at most 1.005 of the
/// mean (costs are known no better) or no exchange makes it cheaper. The mixture needs up to 150 tries a
/// block.
void even_out(Costs costs, std::vector<Block>& blocks) {
  const std::size_t most_tries = 256 * blocks.size();
  const auto find_dearest = [&] {
    return std::max_element(blocks.begin(), blocks.end(),
                            [](const Block& a, const Block& b) { return a.cost < b.cost; });
  };
  std::int64_t mean = 0;
  for (const Block& block : blocks) mean += block.cost;
  mean /= static_cast<std::int64_t>(blocks.size());
  auto dearest = find_dearest();
  for (std::size_t tries = 0, in_vain = 0; tries < most_tries && in_vain < blocks.size(); ++tries) {
    if (dearest->cost <= mean + mean / 200) return;
    in_vain = exchange(costs, *dearest, blocks[tries % blocks.size()]) ? 0 : in_vain + 1;
    if (in_vain == 0) dearest = find_dearest();
  }
}

/// Joins blocks to groups of `factor`, each of nearly the same cost; `factor` divides their number.
std::vector<Block> join(std::vector<Block> blocks, std::size_t factor) {
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const Block& a, const Block& b) { return a.cost > b.cost; });
  const std::size_t count = blocks.size() / factor;
  for (std::size_t round = 1; round < factor; ++round) {
    std::stable_sort(blocks.begin(), blocks.begin() + static_cast<std::ptrdiff_t>(count),
                     [](const Block& a, const Block& b) { return a.cost < b.cost; });
    for (std::size_t i = 0; i < count; ++i) {
      const Block& other = blocks[round * count + i];
      blocks[i].cost += other.cost;
      blocks[i].members.insert(blocks[i].members.end(), other.members.begin(), other.members.end());
    }
  }
  blocks.resize(count);
  return blocks;
}

std::size_t smallest_prime_factor(std::size_t number) {
  for (std::size_t factor = 2; factor * factor <= number; ++factor)
    if (number % factor == 0) return factor;
  return number;
}

/// The blocks in the order in which they are numbered.
std::vector<Block> numbered(std::vector<Block> shares) {
  std::vector<Block> blocks;
  for (std::size_t i = 0; i < shares.size(); ++i)
    blocks.push_back({shares[i].cost, {static_cast<std::int64_t>(i)}});
  while (blocks.size() > 1) blocks = join(std::move(blocks), smallest_prime_factor(blocks.size()));
  std::vector<Block> result;
  for (const std::int64_t number : blocks.front().members)
    result.push_back(std::move(shares[static_cast<std::size_t>(number)]));
  return result;
}

}  // namespace

std::vector<std::vector<std::int64_t>> deal(Costs costs, std::int64_t micro_batches) {
  std::vector<std::int64_t> samples(costs.size());
  std::iota(samples.begin(), samples.end(), 0);
  sort_dearest_first(costs, samples);
  const auto of_a_group = static_cast<std::size_t>(std::gcd(micro_batches, kMicroBatchesOfAGroup));
  std::vector<Block> groups = share_out(costs, samples, static_cast<std::size_t>(micro_batches) / of_a_group);
  even_out(costs, groups);
  std::vector<std::vector<std::int64_t>> dealt;
  for (const Block& group : numbered(std::move(groups))) {
    for (Block& micro_batch : numbered(share_out(costs, group.members, of_a_group))) {
      std::sort(micro_batch.members.begin(), micro_batch.members.end());
      dealt.push_back(std::move(micro_batch.members));
    }
  }
  return dealt;
}

}  // namespace vrwkv::data
