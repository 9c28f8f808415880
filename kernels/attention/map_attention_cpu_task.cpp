// SPDX-License-Identifier: Apache-2.0
// One head of one window. The window's keys, transposed, and its values are packed once; then a tile of
// queries goes over all of them, a few rows of the window at a time, with a running maximum and a running
// sum. Both products run through one block of registers. The scores begin as the position terms, so these
// cost no pass.
#include <cstdint>

#include "kernels/attention/map_attention_backend.h"
#include "kernels/cpu/lanes.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

constexpr int kBlockRows = kLanes == 16 ? 14 : 6;  // with two vectors a row: what the registers hold
constexpr int kTileQueries = kLanes == 16 ? 14 : 12;
constexpr std::int64_t kPanel = 2 * kLanes;
constexpr std::int64_t kTileKeys = 512;  // about; of whole rows of the window
constexpr std::int64_t kQueriesPerTask = 2048;
constexpr float kInfinity = __builtin_inff();

std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
std::int64_t quotient_up(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }
std::int64_t round_up(std::int64_t value, std::int64_t to) { return quotient_up(value, to) * to; }
float largest_lane(Float values) {
  float largest = values[0];
  for (int lane = 1; lane < kLanes; ++lane) largest = values[lane] > largest ? values[lane] : largest;
  return largest;
}
void fill(float* values, std::int64_t count, float with) {
  for (std::int64_t i = 0; i < count; ++i) values[i] = with;
}

/// A packed matrix (depth, width), width a multiple of kLanes, lies in panels of kPanel columns, each (depth,
/// kPanel); the last may have half the columns.
template <int kVectors, bool kAdds>
[[gnu::always_inline]] inline void multiply_block(const float* a, std::int64_t a_stride, const float* panel,
                                                  std::int64_t depth, float* c, std::int64_t c_stride) {
  Float sums[kBlockRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kBlockRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sums[i][v] = kAdds ? load(c + i * c_stride + v * kLanes) : Float{};
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Float b[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) b[v] = load(panel + (k * kVectors + v) * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kBlockRows; ++i) {
      const Float factor = broadcast(a[i * a_stride + k]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[i][v] += factor * b[v];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kBlockRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) store(c + i * c_stride + v * kLanes, sums[i][v]);
  }
}

/// c = a b, or c += a b, for kTileQueries rows, b packed. Not inlined: the block needs all registers.
template <bool kAdds>
[[gnu::noinline]] void multiply(const float* a, std::int64_t a_stride, const float* b, std::int64_t depth,
                                std::int64_t width, float* c, std::int64_t c_stride) {
  for (std::int64_t column = 0; column < width; column += kPanel) {
    for (int row = 0; row < kTileQueries; row += kBlockRows) {
      const float* rows = a + row * a_stride;
      const float* panel = b + column * depth;
      float* to = c + row * c_stride + column;
      if (column + kPanel <= width) {
        multiply_block<2, kAdds>(rows, a_stride, panel, depth, to, c_stride);
      } else {
        multiply_block<1, kAdds>(rows, a_stride, panel, depth, to, c_stride);
      }
    }
  }
}

/// Where a packed matrix (depth, width) has element (0, column), and how far apart its rows are there.
struct PackedColumn {
  PackedColumn(std::int64_t depth, std::int64_t width, std::int64_t column)
      : stride(smaller(kPanel, width - column / kPanel * kPanel)),
        offset(column / kPanel * kPanel * depth + column % kPanel) {}
  std::int64_t stride, offset;
};

/// The sizes that follow from a call.
struct Layout {
  explicit Layout(const MapAttention& call)
      : depth(round_up(call.head_size, kLanes)),
        row_pitch(round_up(call.window_columns, kLanes)),
        tile_rows(kTileKeys < row_pitch ? 1 : smaller(kTileKeys / row_pitch, call.window_rows)),
        tile_keys(tile_rows * row_pitch),
        tiles(quotient_up(call.window_rows, tile_rows)),
        row_offsets(round_up(2 * call.window_rows - 1, kLanes)),
        column_offsets(round_up(2 * call.window_columns - 1, kLanes)) {}

  std::int64_t depth;      // head_size in whole vectors
  std::int64_t row_pitch;  // keys of a row of the window, with what fills its last vector
  std::int64_t tile_rows;  // rows of the window that are keys at once
  std::int64_t tile_keys, tiles;
  std::int64_t row_offsets, column_offsets;  // entries of the tables, in whole vectors
};

/// How a call falls into tasks.
struct Windows {
  explicit Windows(const MapAttention& call)
      : down(quotient_up(call.rows, call.window_rows)),
        across(quotient_up(call.columns, call.window_columns)),
        parts(quotient_up(smaller(call.rows, call.window_rows) * smaller(call.columns, call.window_columns),
                          kQueriesPerTask)) {}
  std::int64_t down, across, parts;
};

/// Hands out a task's scratch memory, each piece a whole number of vectors; of null it only counts.
class Arena {
 public:
  explicit Arena(float* memory) : memory_(memory) {}
  float* take(std::int64_t floats) {
    float* const taken = memory_ == nullptr ? nullptr : memory_ + taken_;
    taken_ += round_up(floats, kLanes);
    return taken;
  }
  std::int64_t taken() const { return taken_; }

 private:
  float* memory_;
  std::int64_t taken_ = 0;
};

struct Scratch {
  Scratch(const Layout& layout, Arena& arena)
      : keys(arena.take(layout.tiles * layout.tile_keys * layout.depth)),
        values(arena.take(layout.tiles * layout.tile_keys * layout.depth)),
        row_table(arena.take(layout.row_offsets * layout.depth)),
        column_table(arena.take(layout.column_offsets * layout.depth)),
        staging(arena.take(kLanes * layout.depth)),
        queries(arena.take(kTileQueries * layout.depth)),
        row_terms(arena.take(kTileQueries * layout.row_offsets)),
        column_terms(arena.take(kTileQueries * layout.column_offsets)),
        shifted(arena.take(kTileQueries * layout.row_pitch)),
        scores(arena.take(kTileQueries * layout.tile_keys)),
        sums(arena.take(kTileQueries * kLanes)),
        out(arena.take(kTileQueries * layout.depth)) {}

  float *keys, *values;             // packed tile by tile
  float *row_table, *column_table;  // packed, transposed, last entry first
  float* staging;
  float* queries;                   // (kTileQueries, depth)
  float *row_terms, *column_terms;  // q . entry for every entry of a table
  float* shifted;                   // (kTileQueries, row_pitch): the column terms of each query's own offsets
  float* scores;                    // (kTileQueries, tile_keys)
  float* sums;                      // (kTileQueries, kLanes)
  float* out;                       // (kTileQueries, depth)
};

class Task {
 public:
  Task(const MapAttention& call, std::int64_t task, float* memory)
      : call_(call), layout_(call), arena_(memory), scratch_(layout_, arena_) {
    const Windows windows(call);
    part_ = task % windows.parts;
    task /= windows.parts;
    head_ = task % call.heads;
    task /= call.heads;
    first_column_ = task % windows.across * call.window_columns;
    task /= windows.across;
    first_row_ = task % windows.down * call.window_rows;
    image_ = task / windows.down;
    query_columns_ = smaller(call.window_columns, call.columns - first_column_);
    query_count_ = smaller(call.window_rows, call.rows - first_row_) * query_columns_;
  }

  void run() {
    const std::int64_t begin = part_ * kQueriesPerTask;
    const std::int64_t end = smaller(begin + kQueriesPerTask, query_count_);
    if (begin >= end) return;  // a window at the edge may have fewer parts
    pack_tables();
    for (std::int64_t tile = 0; tile < layout_.tiles; ++tile) pack_tile(tile);
    for (std::int64_t query = begin; query < end; query += kTileQueries)
      attend(query, smaller(kTileQueries, end - query));
  }

 private:
  enum Role { kQuery, kKey, kValue };

  /// Of a place of the window; `outside` where the map ends before it.
  const float* vector_at(std::int64_t row, std::int64_t column, Role role) const {
    const std::int64_t y = first_row_ + row, x = first_column_ + column;
    const bool inside = y < call_.rows && x < call_.columns;
    const std::int64_t place = (image_ * call_.rows + y) * call_.columns + x;
    const float* from = inside ? call_.qkv + place * 3 * call_.heads * call_.head_size : call_.outside;
    return from + (role * call_.heads + head_) * call_.head_size;
  }

  /// `count` floats, then zeros up to `padded`; nothing but zeros where `from` is null.
  static void copy_padded(const float* from, std::int64_t count, float* to, std::int64_t padded) {
    const std::int64_t copied = from == nullptr ? 0 : count;
    for (std::int64_t i = 0; i < copied; ++i) to[i] = from[i];
    for (std::int64_t i = copied; i < padded; ++i) to[i] = 0.0F;
  }

  /// Packs the matrix whose column j is vector_of(j), null for zeros.
  template <class VectorOf>
  void pack_columns(std::int64_t width, const VectorOf& vector_of, float* packed) const {
    const std::int64_t depth = layout_.depth;
    for (std::int64_t column = 0; column < width; column += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane)
        copy_padded(vector_of(column + lane), call_.head_size, scratch_.staging + lane * depth, depth);
      const PackedColumn to(depth, width, column);
      for (std::int64_t k = 0; k < depth; k += kLanes)
        transpose(scratch_.staging + k, depth, packed + to.offset + k * to.stride, to.stride);
    }
  }

  /// Last entry first: the entries that one query meets along a row of keys then lie side by side.
  void pack_table(const float* table, std::int64_t entries, std::int64_t width, float* packed) const {
    pack_columns(
        width,
        [&](std::int64_t j) { return j < entries ? table + (entries - 1 - j) * call_.head_size : nullptr; },
        packed);
  }

  void pack_tables() const {
    pack_table(call_.row_table, 2 * call_.window_rows - 1, layout_.row_offsets, scratch_.row_table);
    pack_table(call_.column_table, 2 * call_.window_columns - 1, layout_.column_offsets,
               scratch_.column_table);
  }

  void pack_tile(std::int64_t tile) const {
    const auto vector_of = [&](std::int64_t key, Role role) {
      const std::int64_t row = tile * layout_.tile_rows + key / layout_.row_pitch;
      const std::int64_t column = key % layout_.row_pitch;
      const bool is_place = row < call_.window_rows && column < call_.window_columns;
      return is_place ? vector_at(row, column, role) : nullptr;
    };
    const std::int64_t tile_floats = layout_.tile_keys * layout_.depth;
    pack_columns(
        layout_.tile_keys, [&](std::int64_t key) { return vector_of(key, kKey); },
        scratch_.keys + tile * tile_floats);
    float* values = scratch_.values + tile * tile_floats;
    for (std::int64_t key = 0; key < layout_.tile_keys; ++key) {
      copy_padded(vector_of(key, kValue), call_.head_size, scratch_.staging, layout_.depth);
      for (std::int64_t channel = 0; channel < layout_.depth; channel += kLanes) {
        const PackedColumn to(layout_.tile_keys, layout_.depth, channel);
        store(values + to.offset + key * to.stride, load(scratch_.staging + channel));
      }
    }
  }

  /// The queries [first, first + count) of the window over all its keys.
  void attend(std::int64_t first, std::int64_t count) {
    begin_tile(first);
    for (std::int64_t tile = 0; tile < layout_.tiles; ++tile) {
      const std::int64_t tile_floats = layout_.tile_keys * layout_.depth;
      multiply<false>(scratch_.queries, layout_.depth, scratch_.keys + tile * tile_floats, layout_.depth,
                      layout_.tile_keys, scratch_.scores, layout_.tile_keys);
      for (int i = 0; i < kTileQueries; ++i)
        exponentiate(i, tile, call_.window_rows - 1 - query_row(first + i));
      multiply<true>(scratch_.scores, layout_.tile_keys, scratch_.values + tile * tile_floats,
                     layout_.tile_keys, layout_.depth, scratch_.out, layout_.depth);
    }
    for (std::int64_t i = 0; i < count; ++i) write(first + i, static_cast<int>(i));
  }

  /// Of query number `query` of the window; beyond the last one, which a tile may reach, of the last one.
  std::int64_t query_row(std::int64_t query) const {
    return smaller(query, query_count_ - 1) / query_columns_;
  }
  std::int64_t query_column(std::int64_t query) const {
    return smaller(query, query_count_ - 1) % query_columns_;
  }

  /// Loads the queries, which after the position terms are scaled.
  void begin_tile(std::int64_t first) {
    for (std::int64_t i = 0; i < kTileQueries; ++i) {
      copy_padded(vector_at(query_row(first + i), query_column(first + i), kQuery), call_.head_size,
                  scratch_.queries + i * layout_.depth, layout_.depth);
    }
    multiply<false>(scratch_.queries, layout_.depth, scratch_.row_table, layout_.depth, layout_.row_offsets,
                    scratch_.row_terms, layout_.row_offsets);
    multiply<false>(scratch_.queries, layout_.depth, scratch_.column_table, layout_.depth,
                    layout_.column_offsets, scratch_.column_terms, layout_.column_offsets);
    for (std::int64_t i = 0; i < kTileQueries; ++i) {
      const float* terms = scratch_.column_terms + i * layout_.column_offsets +
                           (call_.window_columns - 1 - query_column(first + i));
      float* to = scratch_.shifted + i * layout_.row_pitch;
      for (std::int64_t x = 0; x < layout_.row_pitch; ++x)
        to[x] = x < call_.window_columns ? terms[x] : -kInfinity;
      maxima_[i] = -kInfinity;
    }
    const float scale = 1.0F / __builtin_sqrtf(static_cast<float>(call_.head_size));
    for (std::int64_t i = 0; i < kTileQueries * layout_.depth; ++i) scratch_.queries[i] *= scale;
    fill(scratch_.sums, kTileQueries * kLanes, 0.0F);
    fill(scratch_.out, kTileQueries * layout_.depth, 0.0F);
  }

  /// Of row r of the tile's keys; minus infinity where the window has no such row.
  float row_term(const float* row_terms, std::int64_t tile, std::int64_t r) const {
    return tile * layout_.tile_rows + r < call_.window_rows ? row_terms[r] : -kInfinity;
  }

  /// Turns the products of query i with the tile's keys into exp(score - maximum), and rescales what was
  /// summed under a lower maximum.
  void exponentiate(int i, std::int64_t tile, std::int64_t row_offset) {
    float* scores = scratch_.scores + i * layout_.tile_keys;
    const float* column_terms = scratch_.shifted + i * layout_.row_pitch;
    const float* row_terms =
        scratch_.row_terms + i * layout_.row_offsets + row_offset + tile * layout_.tile_rows;
    Float largest = broadcast(maxima_[i]);
    for (std::int64_t r = 0; r < layout_.tile_rows; ++r) {
      const float* row = scores + r * layout_.row_pitch;
      const float term = row_term(row_terms, tile, r);
      for (std::int64_t x = 0; x < layout_.row_pitch; x += kLanes) {
        const Float score = load(row + x) + (load(column_terms + x) + term);
        largest = score > largest ? score : largest;
      }
    }
    const float maximum = largest_lane(largest);
    const Float correction = exp(broadcast(maxima_[i] - maximum));
    maxima_[i] = maximum;
    Float sum = load(scratch_.sums + i * kLanes) * correction;
    for (std::int64_t r = 0; r < layout_.tile_rows; ++r) {
      float* row = scores + r * layout_.row_pitch;
      const float term = row_term(row_terms, tile, r);
      for (std::int64_t x = 0; x < layout_.row_pitch; x += kLanes) {
        const Float weight = exp(load(row + x) + (load(column_terms + x) + term) - maximum);
        store(row + x, weight);
        sum += weight;
      }
    }
    store(scratch_.sums + i * kLanes, sum);
    float* out = scratch_.out + i * layout_.depth;
    for (std::int64_t c = 0; c < layout_.depth; c += kLanes) store(out + c, load(out + c) * correction);
  }

  void write(std::int64_t query, int i) const {
    float sum = 0.0F;
    for (int lane = 0; lane < kLanes; ++lane) sum += scratch_.sums[i * kLanes + lane];
    const std::int64_t y = first_row_ + query_row(query), x = first_column_ + query_column(query);
    const std::int64_t place = (image_ * call_.rows + y) * call_.columns + x;
    float* to = call_.out + (place * call_.heads + head_) * call_.head_size;
    for (std::int64_t c = 0; c < call_.head_size; ++c) to[c] = scratch_.out[i * layout_.depth + c] / sum;
  }

  const MapAttention& call_;
  const Layout layout_;
  Arena arena_;
  const Scratch scratch_;
  std::int64_t part_, head_, first_row_, first_column_, image_;
  std::int64_t
      query_columns_;  // columns of the window that the map has; all its queries are numbered by rows
  std::int64_t query_count_;
  float maxima_[kTileQueries];
};

}  // namespace

std::int64_t attention_tasks(const MapAttention& call) {
  const Windows windows(call);
  return call.images * windows.down * windows.across * call.heads * windows.parts;
}

std::int64_t attention_scratch_floats(const MapAttention& call) {
  Arena arena(nullptr);
  Scratch(Layout(call), arena);
  return arena.taken();
}

void attention_task(const MapAttention& call, std::int64_t task, float* scratch) {
  Task(call, task, scratch).run();
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
