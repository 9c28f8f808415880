// SPDX-License-Identifier: Apache-2.0
// The backward's arithmetic: sweeps over some rows of a state, which are values. States and their gradients
// are [value][key] here: of the sums over a state most run over values, which adds whole vectors; only dv and
// e add lanes.
#pragma once

#include <cstdint>

#include "kernels/wkv7/wkv7_cpu_rows.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {

/// Columns are swept in panels of this many vectors, so that sums and rows stay in registers. Measured with
/// 16 and with 8 lanes.
inline constexpr int kSweepVectors = 2;

/// The rows of a token; those of gradients are written.
class Token {
 public:
  /// From kDr on those of a Wkv7GroupSums. kGroupDr is dr of the group at hand.
  enum Row {
    kR,
    kDecay,
    kSlope,
    kK,
    kV,
    kA,
    kB,
    kDy,
    kStateA,
    kDv,
    kGroupDr,
    kDr,
    kDw,
    kDk,
    kDa,
    kDb,
    kRows
  };

  Token(const Rows& rows, std::int64_t q) : n_(rows.n), first_(rows.of(0, q)) {}

  float* operator[](Row row) const { return first_ + row * n_; }
  /// The one so many tokens later.
  Token after(std::int64_t tokens) const {
    Token other = *this;
    other.first_ += tokens * kRows * n_;
    return other;
  }

 private:
  std::int64_t n_;
  float* first_;
};

/// Values that recompute() has in registers.
inline constexpr std::int64_t kTogether = 4;

/// Brings `count` tokens into values [value, value + kTogether) of a state. With kForGradients also writes
/// those values of the states before each token, to `before` with a stride of kWkv7Group * n, and sums dr:
/// with the last values of a group its sum is added to the others, or becomes dr if `is_first_group`.
template <int kVectors, bool kForGradients>
[[gnu::always_inline]] inline void recompute(const Token& first, std::int64_t count, std::int64_t n,
                                             std::int64_t value, std::int64_t column, const float* from,
                                             float* to, float* before, bool is_first_group) {
  const bool begins = value % kWkv7Group == 0, ends = (value + kTogether) % kWkv7Group == 0;
  Float s[kTogether][kVectors];
  for (int i = 0; i < kTogether; ++i)
    for (int x = 0; x < kVectors; ++x) s[i][x] = load(from + (value + i) * n + column + x * kLanes);
  for (std::int64_t q = 0; q < count; ++q) {
    const Token token = first.after(q);
    Float d[kVectors], k[kVectors], b[kVectors], dr[kVectors];
    for (int x = 0; x < kVectors; ++x) {
      const std::int64_t j = column + x * kLanes;
      d[x] = load(token[Token::kDecay] + j);
      k[x] = load(token[Token::kK] + j);
      b[x] = load(token[Token::kB] + j);
      if (kForGradients) dr[x] = begins ? Float{} : load(token[Token::kGroupDr] + j);
    }
    for (int i = 0; i < kTogether; ++i) {
      const Float v = broadcast(token[Token::kV][value + i]),
                  sa = broadcast(token[Token::kStateA][value + i]);
      const Float dy = broadcast(token[Token::kDy][value + i]);
      for (int x = 0; x < kVectors; ++x) {
        if (kForGradients) store(before + (q * kWkv7Group + i) * n + column + x * kLanes, s[i][x]);
        s[i][x] = s[i][x] * d[x] + (sa * b[x] + v * k[x]);
        if (kForGradients) dr[x] += s[i][x] * dy;
      }
    }
    if (kForGradients)
      for (int x = 0; x < kVectors; ++x) {
        const std::int64_t j = column + x * kLanes;
        if (ends && !is_first_group) dr[x] += load(token[Token::kDr] + j);
        store(token[ends ? Token::kDr : Token::kGroupDr] + j, dr[x]);
      }
  }
  if (kForGradients) return;
  for (int i = 0; i < kTogether; ++i)
    for (int x = 0; x < kVectors; ++x) store(to + (value + i) * n + column + x * kLanes, s[i][x]);
}

/// Vectors whose lanes' sums are dv and e of a group.
struct LaneSums {
  [[gnu::always_inline]] void add_lanes(float* dv, float* e) const {
    for (std::int64_t i = 0; i < kWkv7Group; i += kLanes) {
      store(dv + i, row_sums(of_dv[i]));
      store(e + i, row_sums(of_e[i]));
    }
  }

  float of_dv[kWkv7Group][kLanes], of_e[kWkv7Group][kLanes];
};

/// Adds the output's part of a chunk's last token to a group's rows of G, and sums their dv and e.
[[gnu::always_inline]] inline void begin_chunk(const Token& token, std::int64_t n, std::int64_t group,
                                               float* gradient, float* e) {
  LaneSums sums;
  for (std::int64_t i = 0; i < kWkv7Group; ++i) {
    Float sum_v{}, sum_e{};
    const Float dy = broadcast(token[Token::kDy][group + i]);
    for (std::int64_t j = 0; j < n; j += kLanes) {
      float* place = gradient + (group + i) * n + j;
      const Float g = load(place) + load(token[Token::kR] + j) * dy;
      store(place, g);
      sum_v += g * load(token[Token::kK] + j);
      sum_e += g * load(token[Token::kB] + j);
    }
    store(sums.of_dv[i], sum_v);
    store(sums.of_e[i], sum_e);
  }
  sums.add_lanes(token[Token::kDv] + group, e + group);
}

/// Turns a group's rows of G of `token` into those of the token `before` it, whose dv and e it sums; adds to
/// dw, dk, da and db of `token`, or sets them if `is_first_group`. `e` and `state` are e_t and the group's
/// S_{t-1}. Without kHasBefore G is left without the output's part.
template <int kVectors, bool kHasBefore>
[[gnu::always_inline]] inline void sweep(const Token& token, const Token& before, std::int64_t n,
                                         std::int64_t group, std::int64_t column, const float* state,
                                         const float* e, float* gradient, LaneSums& sums,
                                         bool is_first_group) {
  Float d[kVectors], a[kVectors], r[kVectors], k[kVectors], b[kVectors];
  Float dw[kVectors] = {}, dk[kVectors] = {}, da[kVectors] = {}, db[kVectors] = {};
  for (int x = 0; x < kVectors; ++x) {
    const std::int64_t j = column + x * kLanes;
    d[x] = load(token[Token::kDecay] + j);
    a[x] = load(token[Token::kA] + j);
    r[x] = load(before[Token::kR] + j);
    k[x] = load(before[Token::kK] + j);
    b[x] = load(before[Token::kB] + j);
  }
  for (std::int64_t i = 0; i < kWkv7Group; ++i) {
    const Float v = broadcast(token[Token::kV][group + i]), sa = broadcast(token[Token::kStateA][group + i]);
    const Float e_i = broadcast(e[group + i]), dy = broadcast(before[Token::kDy][group + i]);
    Float sum_v = column == 0 ? Float{} : load(sums.of_dv[i]);
    Float sum_e = column == 0 ? Float{} : load(sums.of_e[i]);
    for (int x = 0; x < kVectors; ++x) {
      float* place = gradient + (group + i) * n + column + x * kLanes;
      const Float g = load(place), s = load(state + i * n + column + x * kLanes);
      dw[x] += g * s;
      dk[x] += g * v;
      db[x] += g * sa;
      da[x] += s * e_i;
      Float g_before = g * d[x] + e_i * a[x];
      if (kHasBefore) {
        g_before += dy * r[x];
        sum_v += g_before * k[x];
        sum_e += g_before * b[x];
      }
      store(place, g_before);
    }
    if (kHasBefore) {
      store(sums.of_dv[i], sum_v);
      store(sums.of_e[i], sum_e);
    }
  }
  for (int x = 0; x < kVectors; ++x) {
    const std::int64_t j = column + x * kLanes;
    const auto add = [&](Token::Row row, Float sum) {
      store(token[row] + j, is_first_group ? sum : load(token[row] + j) + sum);
    };
    add(Token::kDw, dw[x]);
    add(Token::kDk, dk[x]);
    add(Token::kDa, da[x]);
    add(Token::kDb, db[x]);
  }
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
