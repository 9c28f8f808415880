// SPDX-License-Identifier: Apache-2.0
// The state that passes all tokens has some keys only: what it costs beside a whole pass is a third.
#include "kernels/wkv6/wkv6_cpu_rows.h"
#include "kernels/wkv6/wkv6_cpu_tasks.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

constexpr std::int64_t kKeys = kWkv6ScanKeys;

void copy_state(const float* from, std::int64_t from_stride, std::int64_t values, float* to,
                std::int64_t to_stride) {
  for (std::int64_t i = 0; i < values; ++i)
    for (std::int64_t j = 0; j < kKeys; j += kLanes)
      store(to + i * to_stride + j, load(from + i * from_stride + j));
}

/// Some keys of one head of one sequence.
template <class Element>
class Scan {
 public:
  Scan(const Wkv6Inputs<Element>& in, const Wkv6Scan<Element>& scan, const Wkv6Task& task,
       std::int64_t first_key, float* scratch)
      : decays_(in.w),
        scan_(scan),
        place_(in, task),
        first_key_(first_key),
        state_(scratch),
        rows_(scratch + place_.n * kKeys) {}

  void run() {
    const std::int64_t n = place_.n, pieces = (place_.end - place_.begin + kWkv6Piece - 1) / kWkv6Piece;
    if (scan_.start == nullptr) {
      for (std::int64_t i = 0; i < n * kKeys; i += kLanes) store(state_ + i, Float{});
    } else {
      copy_state(scan_.start + place_.state(0) + first_key_, n, n, state_, kKeys);
    }
    for (std::int64_t i = 1; i < pieces; ++i) {
      const std::int64_t t = place_.begin + (scan_.is_backward ? pieces - i : i) * kWkv6Piece;
      pass_piece(scan_.is_backward ? t : t - kWkv6Piece);
      copy_state(state_, kKeys, n, scan_.piece_states + place_.piece_state(t, 0) + first_key_, n);
    }
  }

 private:
  float* decays(std::int64_t q) const { return rows_ + q * (2 * kKeys + place_.n); }
  float* keys(std::int64_t q) const { return decays(q) + kKeys; }
  float* values(std::int64_t q) const { return keys(q) + kKeys; }

  void pass_piece(std::int64_t begin) {
    const std::int64_t end = begin + kWkv6Piece < place_.end ? begin + kWkv6Piece : place_.end;
    const std::int64_t chunks = (end - begin + kWkv6Chunk - 1) / kWkv6Chunk;
    for (std::int64_t i = 0; i < chunks; ++i) {
      const std::int64_t t = begin + (scan_.is_backward ? chunks - 1 - i : i) * kWkv6Chunk;
      const std::int64_t tokens = place_.chunk_tokens(t);
      load_chunk(t, tokens);
      for (std::int64_t value = 0; value < place_.n; value += kBlockRows)
        for (std::int64_t key = 0; key < kKeys; key += kLanes) pass_block(tokens, value, key);
    }
  }

  /// In the order in which they pass.
  void load_chunk(std::int64_t t, std::int64_t tokens) {
    for (std::int64_t q = 0; q < tokens; ++q) {
      const std::int64_t row = place_.row(scan_.is_backward ? t + tokens - 1 - q : t + q);
      for (std::int64_t j = 0; j < kKeys; j += kLanes) {
        store(decays(q) + j, exp(-exp(load(decays_ + row + first_key_ + j))));
        store(keys(q) + j, load(scan_.keys + row + first_key_ + j));
      }
      for (std::int64_t i = 0; i < place_.n; i += kLanes) store(values(q) + i, load(scan_.values + row + i));
    }
  }

  void pass_block(std::int64_t tokens, std::int64_t value, std::int64_t key) {
    float* const at = state_ + value * kKeys + key;
    Wkv6Block s = load_block(at, kKeys);
    for (std::int64_t q = 0; q < tokens; ++q) {
      const Float decay = load(decays(q) + key), k = load(keys(q) + key);
      const float* v = values(q) + value;
#pragma GCC unroll 16
      for (int i = 0; i < kBlockRows; ++i) s.of[i] = s.of[i] * decay + k * v[i];
    }
    store_block(at, kKeys, s);
  }

  const Element* decays_;
  const Wkv6Scan<Element>& scan_;
  const Wkv6Place place_;
  const std::int64_t first_key_;
  float* state_;  // [value][kKeys]
  float* rows_;   // of a chunk, [token][decays, keys, values]
};

}  // namespace

template <class Element>
void wkv6_scan_task(const Wkv6Inputs<Element>& in, const Wkv6Scan<Element>& scan, const Wkv6Task& task,
                    std::int64_t first_key, float* scratch) {
  Scan<Element>(in, scan, task, first_key, scratch).run();
}

template void wkv6_scan_task(const Wkv6Inputs<float>&, const Wkv6Scan<float>&, const Wkv6Task&, std::int64_t,
                             float*);
template void wkv6_scan_task(const Wkv6Inputs<Bf16>&, const Wkv6Scan<Bf16>&, const Wkv6Task&, std::int64_t,
                             float*);

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
