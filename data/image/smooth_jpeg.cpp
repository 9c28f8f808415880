// SPDX-License-Identifier: Apache-2.0
#include "data/image/smooth_jpeg.h"

#include <algorithm>
#include <cstdlib>

namespace vrwkv::data {
namespace {

// The second half of coef_bits, which last_bits() reads, exists since then.
static_assert(LIBJPEG_TURBO_VERSION_NUMBER >= 2'001'000, "libjpeg-turbo 2.1 or later is needed");

constexpr std::int64_t kReach = 2;              ///< blocks on each side
constexpr std::int64_t kSide = 2 * kReach + 1;  ///< of the square of blocks that an estimate looks at
constexpr int kEstimated = 10;                  ///< the mean and the first nine others, in zigzag order
constexpr int kScale = 256;                     ///< of the weights

/// Weights of the means around, row by row.
using Weights = std::array<int, kSide * kSide>;

constexpr Weights transposed(const Weights& weights) {
  Weights result{};
  for (std::int64_t y = 0; y < kSide; ++y)
    for (std::int64_t x = 0; x < kSide; ++x) result[y * kSide + x] = weights[x * kSide + y];
  return result;
}

/// Of a coefficient: its places in zigzag order and in a block.
struct Estimate {
  int zigzag, place;
  Weights weights;
};

// clang-format off
constexpr Weights kMean = {-2, -6,  -8, -6, -2,
                           -6,  6,  42,  6, -6,
                           -8, 42, 152, 42, -8,
                           -6,  6,  42,  6, -6,
                           -2, -6,  -8, -6, -2};
constexpr Weights k01 = {-1, -1, 0,   1, 1,
                         -3, 13, 0, -13, 3,
                         -3, 38, 0, -38, 3,
                         -3, 13, 0, -13, 3,
                         -1, -1, 0,   1, 1};
constexpr Weights k11 = {-1,  0, 0,  0,  1,
                          0,  9, 0, -9,  0,
                          0,  0, 0,  0,  0,
                          0, -9, 0,  9,  0,
                          1,  0, 0,  0, -1};
constexpr Weights k02 = {0,  0,   0,  0, 0,
                         0,  2,  -5,  2, 0,
                         1,  7, -14,  7, 1,
                         0,  2,  -5,  2, 0,
                         0,  0,   0,  0, 0};
constexpr Weights k03 = {0, 0, 0,  0, 0,
                         0, 1, 0, -1, 0,
                         0, 2, 0, -2, 0,
                         0, 1, 0, -1, 0,
                         0, 0, 0,  0, 0};
constexpr Weights k12 = {0,  0,  0,  0, 0,
                         0,  1, -3,  1, 0,
                         0,  0,  0,  0, 0,
                         0, -1,  3, -1, 0,
                         0,  0,  0,  0, 0};
// Where other coefficients are known.
constexpr Weights kSharp01 = { 0,  0, 0,   0, 0,
                               0,  0, 0,   0, 0,
                              -7, 50, 0, -50, 7,
                               0,  0, 0,   0, 0,
                               0,  0, 0,   0, 0};
constexpr Weights kSharp11 = { 0,  -1, 0,   1,  0,
                              -1,  10, 0, -10,  1,
                               0,   0, 0,   0,  0,
                               1, -10, 0,  10, -1,
                               0,   1, 0,  -1,  0};
constexpr Weights kSharp02 = { 0,  0,   0,  0,  0,
                               0,  0,   0,  0,  0,
                              -1, 13, -24, 13, -1,
                               0,  0,   0,  0,  0,
                               0,  0,   0,  0,  0};
// clang-format on

constexpr std::array<Estimate, kEstimated> kFromMeansAlone = {{{1, 1, k01},
                                                               {2, 8, transposed(k01)},
                                                               {3, 16, transposed(k02)},
                                                               {4, 9, k11},
                                                               {5, 2, k02},
                                                               {6, 3, k03},
                                                               {7, 10, k12},
                                                               {8, 17, transposed(k12)},
                                                               {9, 24, transposed(k03)},
                                                               {0, 0, kMean}}};
constexpr std::array<Estimate, 5> kBesideOthers = {{{1, 1, kSharp01},
                                                    {2, 8, transposed(kSharp01)},
                                                    {3, 16, transposed(kSharp02)},
                                                    {4, 9, kSharp11},
                                                    {5, 2, kSharp02}}};

/// Of one coefficient in zigzag order: -1 while nothing is known, else how many of its last bits are missing.
using MissingBits = const int*;

constexpr std::array<int, kEstimated> nothing_known() {
  std::array<int, kEstimated> missing{};
  missing.fill(-1);
  return missing;
}

/// The coefficients and the means of one component.
class Component {
 public:
  Component(JpegDecompressor& jpeg, int index, jvirt_barray_ptr blocks)
      : jpeg_(jpeg), info_(jpeg.info()), index_(index), part_(info_.comp_info[index]), blocks_(blocks) {
    means_.resize(static_cast<std::size_t>(rows() * columns()));
  }

  /// Takes down the means, which estimates will overwrite. libjpeg may give up.
  void read_means() {
    for (std::int64_t row = 0; row < rows(); ++row) {
      const JBLOCKROW blocks = blocks_of(row);
      for (std::int64_t column = 0; column < columns(); ++column)
        means_[row * columns() + column] = blocks[column][0];
    }
  }

  /// Puts estimates in place. libjpeg may give up.
  void smooth() {
    for (std::int64_t row = 0; row < part_.height_in_blocks; ++row) {
      const MissingBits missing = missing_bits(row / part_.v_samp_factor);
      const bool means_alone =
          std::all_of(missing + 1, missing + kEstimated, [](int bits) { return bits < 0; });
      const std::span<const Estimate> estimates =
          means_alone ? std::span<const Estimate>(kFromMeansAlone) : std::span<const Estimate>(kBesideOthers);
      const std::array<const JCOEF*, kSide> around = rows_around(row);
      const JBLOCKROW blocks = blocks_of(row);
      for (std::int64_t column = 0; column < columns(); ++column)
        for (const Estimate& estimate : estimates) put(estimate, missing, around, column, blocks[column]);
    }
  }

 private:
  std::int64_t columns() const { return part_.width_in_blocks; }
  /// With those that fill up the last row of MCUs.
  std::int64_t rows() const { return std::int64_t{info_.total_iMCU_rows} * part_.v_samp_factor; }
  JBLOCKROW blocks_of(std::int64_t row) {
    return info_.mem->access_virt_barray(reinterpret_cast<j_common_ptr>(&info_), blocks_,
                                         static_cast<JDIMENSION>(row), 1, TRUE)[0];
  }

  /// Rows that the newest scan did not reach are known as they were before it.
  MissingBits missing_bits(std::int64_t mcu_row) const {
    static constexpr std::array<int, kEstimated> kNothing = nothing_known();
    if (mcu_row <= jpeg_.last_row_with_data()) return info_.coef_bits[index_];
    if (info_.input_scan_number <= 1) return kNothing.data();
    return info_.coef_bits[index_ + info_.num_components];
  }

  /// The means of five rows; a row beyond the image is that at its edge. libjpeg numbers the rows as if every
  /// row of MCUs had as many as the one in question: so does this.
  std::array<const JCOEF*, kSide> rows_around(std::int64_t row) const {
    const std::int64_t full = part_.v_samp_factor;
    const std::int64_t mcu_rows = info_.total_iMCU_rows;
    const std::int64_t mcu_row = row / full;
    const std::int64_t in_last = part_.height_in_blocks - (mcu_rows - 1) * full;
    const std::int64_t count = mcu_row == mcu_rows - 1 ? in_last : full;
    const std::int64_t number = mcu_row * count + row % full;
    const std::int64_t before = std::min(number, kReach);
    const std::int64_t behind = std::min(count * mcu_rows - 1 - number, kReach);
    std::array<const JCOEF*, kSide> around{};
    for (std::int64_t y = -kReach; y <= kReach; ++y)
      around[y + kReach] = means_.data() + (row + std::clamp(y, -before, behind)) * columns();
    return around;
  }

  void put(const Estimate& estimate, MissingBits missing, const std::array<const JCOEF*, kSide>& around,
           std::int64_t column, JCOEF* block) const {
    const bool is_mean = estimate.place == 0;
    const int bits = missing[estimate.zigzag];
    if (!is_mean && (bits == 0 || block[estimate.place] != 0)) return;
    std::int64_t sum = 0;
    for (std::int64_t y = 0; y < kSide; ++y)
      for (std::int64_t x = 0; x < kSide; ++x)
        sum += estimate.weights[y * kSide + x] *
               around[y][std::clamp<std::int64_t>(column + x - kReach, 0, columns() - 1)];
    const std::int64_t step = part_.quant_table->quantval[estimate.place];
    sum *= part_.quant_table->quantval[0];
    std::int64_t size = (step * kScale / 2 + std::abs(sum)) / (step * kScale);
    if (!is_mean && bits > 0) size = std::min(size, (std::int64_t{1} << bits) - 1);
    block[estimate.place] = static_cast<JCOEF>(sum < 0 ? -size : size);
  }

  JpegDecompressor& jpeg_;
  jpeg_decompress_struct& info_;
  int index_;
  const jpeg_component_info& part_;
  jvirt_barray_ptr blocks_;
  std::vector<JCOEF> means_;  ///< (rows, columns)
};

class JpegCompressor final : public JpegErrors {
 public:
  JpegCompressor() { watch(info_); }
  ~JpegCompressor() {
    jpeg_destroy_compress(&info_);
    std::free(bytes_);
  }

  /// Coefficients as they are; arithmetic coding takes those beyond the range of Huffman's, too. False when
  /// libjpeg gave up.
  bool write(jpeg_decompress_struct& from, jvirt_barray_ptr* coefficients) {
    return attempt([&] {
      jpeg_create_compress(&info_);
      jpeg_mem_dest(&info_, &bytes_, &size_);
      jpeg_copy_critical_parameters(&from, &info_);
      info_.arith_code = TRUE;
      jpeg_write_coefficients(&info_, coefficients);
      jpeg_finish_compress(&info_);
    });
  }
  std::span<const std::uint8_t> bytes() const { return {bytes_, size_}; }

 private:
  jpeg_compress_struct info_{};
  unsigned char* bytes_ = nullptr;
  unsigned long size_ = 0;
};

}  // namespace

bool lacks_scans(const jpeg_decompress_struct& info) {
  if (!info.progressive_mode || info.arith_code || info.coef_bits == nullptr) return false;
  bool some_are_missing = false;
  for (int index = 0; index < info.num_components; ++index) {
    const JQUANT_TBL* steps = info.comp_info[index].quant_table;
    const int* missing = info.coef_bits[index];
    if (steps == nullptr || missing[0] < 0) return false;
    for (const Estimate& estimate : kFromMeansAlone)
      if (steps->quantval[estimate.place] == 0) return false;
    some_are_missing = some_are_missing ||
                       std::any_of(missing + 1, missing + kEstimated, [](int bits) { return bits != 0; });
  }
  return some_are_missing;
}

std::vector<std::uint8_t> smooth_jpeg(const EncodedImage& file) {
  JpegDecompressor jpeg(file.bytes);
  if (!jpeg.open()) throw_corrupt(file, "JPEG", jpeg.message());
  if (file.accept_truncated) jpeg.mend_end();
  jvirt_barray_ptr* coefficients = nullptr;
  if (!jpeg.attempt([&] { coefficients = jpeg_read_coefficients(&jpeg.info()); }))
    throw_corrupt(file, "JPEG", jpeg.message());
  for (int index = 0; index < jpeg.info().num_components; ++index) {
    Component component(jpeg, index, coefficients[index]);
    if (!jpeg.attempt([&] {
          component.read_means();
          component.smooth();
        }))
      throw_corrupt(file, "JPEG", jpeg.message());
  }
  JpegCompressor compressor;
  if (!compressor.write(jpeg.info(), coefficients)) throw_corrupt(file, "JPEG", compressor.message());
  return {compressor.bytes().begin(), compressor.bytes().end()};
}

}  // namespace vrwkv::data
