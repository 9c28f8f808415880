// SPDX-License-Identifier: Apache-2.0
// A row of 65,536 logits fits into a core's cache, so the three passes over it read memory once each tile.
// Each pass has four vectors under way; the rest of a row is padded to them.
#include "kernels/cpu/lanes.h"
#include "kernels/cross_entropy/logit_rows_backend.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

constexpr int kChains = 4;
constexpr int kStep = kChains * kLanes;
constexpr float kInfinity = __builtin_inff();

/// Calls run(block, column) for each kStep logits; behind the row's end they are minus infinity.
template <class Run>
[[gnu::always_inline]] inline void for_each_step(const float* row, std::int64_t columns, const Run& run) {
  const std::int64_t whole = columns / kStep * kStep;
  for (std::int64_t column = 0; column < whole; column += kStep) run(row + column, column);
  if (whole == columns) return;
  float rest[kStep];
  for (int i = 0; i < kStep; ++i) rest[i] = whole + i < columns ? row[whole + i] : -kInfinity;
  run(rest, whole);
}

struct Largest {
  float value;
  std::int32_t column;
};

Largest largest_of(const float* row, std::int64_t columns) {
  Float values[kChains];
  Int places[kChains];
  for (int chain = 0; chain < kChains; ++chain) {
    values[chain] = broadcast(-kInfinity);
    places[chain] = Int{};
  }
  for_each_step(row, columns, [&](const float* block, std::int64_t column) {
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain) {
      const Float value = load(block + chain * kLanes);
      const Int higher = value > values[chain];
      values[chain] = higher ? value : values[chain];
      places[chain] = higher ? Int{} + static_cast<std::int32_t>(column) : places[chain];
    }
  });
  Largest best{-kInfinity, 0};
  for (int chain = 0; chain < kChains; ++chain) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const Largest other{values[chain][lane], places[chain][lane] + chain * kLanes + lane};
      const bool before = other.value == best.value && other.column < best.column;
      if (other.value > best.value || before) best = other;
    }
  }
  return best;
}

float sum_of_exponentials(const float* row, std::int64_t columns, float largest) {
  Float sums[kChains] = {};
  for_each_step(row, columns, [&](const float* block, std::int64_t) {
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain) sums[chain] += exp(load(block + chain * kLanes) - largest);
  });
  const Float all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float sum = 0.0F;
  for (int lane = 0; lane < kLanes; ++lane) sum += all[lane];
  return sum;
}

bool has_column(const LogitRows& tile, std::int64_t column) {
  return column >= tile.first_column && column < tile.first_column + tile.columns;
}

}  // namespace

void merge_statistics_of(const LogitRows& tile, const float* logits, float* losses, std::int64_t begin,
                         std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float* row = logits + r * tile.columns;
    const Largest here = largest_of(row, tile.columns);
    RowStatistics seen = tile.statistics[r];
    if (tile.first_column == 0) seen = {-kInfinity, 0, 0.0F, 0.0F};
    const bool higher = here.value > seen.largest;
    const float largest = higher ? here.value : seen.largest;
    const float before = exp(broadcast(seen.largest - largest))[0];
    const float sum = seen.sum * before + sum_of_exponentials(row, tile.columns, largest);
    const std::int64_t target = tile.targets[r];
    if (has_column(tile, target)) seen.target_logit = row[target - tile.first_column];
    const auto column = static_cast<std::int32_t>(tile.first_column + here.column);
    tile.statistics[r] = {largest, higher ? column : seen.largest_column, sum, seen.target_logit};
    losses[r] = target < 0 ? 0.0F : __builtin_logf(sum) + largest - seen.target_logit;
  }
}

template <class Element>
void logits_to_gradient_of(const LogitRows& tile, float l2wrap_scale, float* logits, std::int64_t begin,
                           std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float* row = logits + r * tile.columns;
    auto* to = reinterpret_cast<Element*>(logits + r * tile.columns);
    const RowStatistics& all = tile.statistics[r];
    const float weight = tile.targets[r] < 0 ? 0.0F : tile.weights[r];
    const float factor = weight / all.sum;
    const auto probability = [&](Float x) { return exp(x - all.largest) * factor; };
    // The columns that get something more, while their logits are there.
    const std::int64_t target = tile.targets[r] - tile.first_column;
    const std::int64_t largest = all.largest_column - tile.first_column;
    const bool has_target = has_column(tile, tile.targets[r]),
               has_largest = has_column(tile, all.largest_column);
    float at_target = has_target ? probability(broadcast(row[target]))[0] - weight : 0.0F;
    float at_largest = has_largest ? probability(broadcast(row[largest]))[0] : 0.0F;
    if (target == largest) at_largest = at_target;
    at_largest += all.largest * l2wrap_scale;
    for_each_step(row, tile.columns, [&](const float* block, std::int64_t column) {
      Float values[kChains];
#pragma GCC unroll 4
      for (int chain = 0; chain < kChains; ++chain) values[chain] = probability(load(block + chain * kLanes));
      if (column + kStep <= tile.columns) {
        for (int chain = 0; chain < kChains; ++chain) store(to + column + chain * kLanes, values[chain]);
      } else {
        Element rest[kStep];
        for (int chain = 0; chain < kChains; ++chain) store(rest + chain * kLanes, values[chain]);
        __builtin_memcpy(to + column, rest, (tile.columns - column) * sizeof(Element));
      }
    });
    if (has_target) to[target] = from_float<Element>(at_target);
    if (has_largest) to[largest] = from_float<Element>(at_largest);
  }
}

template void logits_to_gradient_of<float>(const LogitRows&, float, float*, std::int64_t, std::int64_t);
template void logits_to_gradient_of<Bf16>(const LogitRows&, float, float*, std::int64_t, std::int64_t);

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
