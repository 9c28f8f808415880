// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/host_matrices.h"

#include <cstring>

#include "kernels/bf16.h"

namespace vrwkv::kernels::device::host {
namespace {

float low(std::uint32_t packed) { return to_float(Bf16{static_cast<std::uint16_t>(packed)}); }
float high(std::uint32_t packed) { return to_float(Bf16{static_cast<std::uint16_t>(packed >> 16U)}); }

}  // namespace

void multiply_matrices(WarpWords& words) {
  constexpr int kD = 0, kA = 4, kB = 8;  // where each begins in a lane's words
  float a[16][16], b[8][16];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, c = lane % 4 * 2;
    for (int q = 0; q < 4; ++q) {
      a[g + q % 2 * 8][c + q / 2 * 8] = low(words[lane][kA + q]);
      a[g + q % 2 * 8][c + q / 2 * 8 + 1] = high(words[lane][kA + q]);
    }
    for (int q = 0; q < 2; ++q) {
      b[g][c + q * 8] = low(words[lane][kB + q]);
      b[g][c + q * 8 + 1] = high(words[lane][kB + q]);
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, c = lane % 4 * 2;
    for (int q = 0; q < 4; ++q) {
      float sum;
      std::memcpy(&sum, &words[lane][kD + q], sizeof sum);
      for (int k = 0; k < 16; ++k) sum += a[g + q / 2 * 8][k] * b[c + q % 2][k];
      std::memcpy(&words[lane][kD + q], &sum, sizeof sum);
    }
  }
}

template <bool kTransposed>
void load_matrices(WarpWords& words) {
  std::uint16_t elements[kLanes][8];  // row i of matrix m is 8 m + i
  for (int lane = 0; lane < kLanes; ++lane) {
    const void* row;
    std::memcpy(&row, words[lane].data(), sizeof row);
    std::memcpy(elements[lane], row, sizeof elements[lane]);
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, c = lane % 4 * 2;
    for (int m = 0; m < 4; ++m) {
      const std::uint32_t first = kTransposed ? elements[8 * m + c][g] : elements[8 * m + g][c];
      const std::uint32_t second = kTransposed ? elements[8 * m + c + 1][g] : elements[8 * m + g][c + 1];
      words[lane][m] = first | second << 16U;
    }
  }
}

template void load_matrices<false>(WarpWords& words);
template void load_matrices<true>(WarpWords& words);

}  // namespace vrwkv::kernels::device::host
