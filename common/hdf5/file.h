// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "common/unique_handle.h"

namespace vrwkv::hdf5 {

struct FileTraits {
  using type = hid_t;
  static constexpr hid_t null() noexcept { return H5I_INVALID_HID; }
  static void release(hid_t file) noexcept { H5Fclose(file); }
};

using Dims = std::vector<std::int64_t>;

/// A range of a one-dimensional dataset in another file, relative to this file's folder.
struct Source {
  std::string file;
  std::string dataset;
  std::int64_t source_elements = 0;  ///< length of the whole source dataset
  std::int64_t source_begin = 0;     ///< first element taken
  std::int64_t target_begin = 0;     ///< where it lands, in row-major order of the virtual tensor
  std::int64_t elements = 0;
};

enum class RowElement { kFloat32, kUint16, kUint8 };

/// One HDF5 file, one process, serial driver. Datasets are contiguous and little-endian; groups named in a
/// dataset's path are created. Every failure is an IoError "file: dataset: HDF5's innermost reason".
class File {
 public:
  /// @throws IoError when it exists: never overwrites.
  static File create(const std::filesystem::path& path);
  static File open(const std::filesystem::path& path);

  void write(const std::string& name, std::span<const float> values, const Dims& dims);
  void write(const std::string& name, std::span<const std::int64_t> values, const Dims& dims);
  void write(const std::string& name, std::span<const std::uint8_t> values, const Dims& dims);
  void write_attribute(const std::string& object, const std::string& name, const std::string& value);
  void write_attribute(const std::string& object, const std::string& name, std::int64_t value);

  /// A tensor of `dims` whose elements lie in other files (HDF5 virtual dataset); `sources` cover it, in any
  /// order.
  void write_virtual(const std::string& name, const Dims& dims, const std::vector<Source>& sources);

  /// A tensor that is, as a whole, the dataset of the same dims (one or more) in a file of this file's
  /// folder.
  void write_virtual_whole(const std::string& name, const Dims& dims, const std::string& file,
                           const std::string& dataset);

  void write_texts(const std::string& name, const std::vector<std::string>& values);

  /// A dataset of rows, dims[0] of them, that are written one by one: each is a chunk of its own, unfiltered,
  /// so that its bytes lie together in the file. Rows that are never written hold anything.
  void create_rows(const std::string& name, RowElement element, const Dims& dims);
  /// @param bytes  the elements of one row, little-endian.
  void write_row(const std::string& name, std::int64_t row, std::span<const std::byte> bytes);
  /// Where in the file each row begins: threads may read it there, but not through this library. Nothing else
  /// may be written to the file any more.
  std::vector<std::uint64_t> row_offsets(const std::string& name) const;

  bool has(const std::string& name) const;
  Dims dims(const std::string& name) const;
  std::vector<float> read_floats(const std::string& name) const;
  std::vector<std::int64_t> read_integers(const std::string& name) const;
  std::vector<std::string> read_texts(const std::string& name) const;
  /// `values.size()` elements of a dataset, in row-major order from `begin` on; nothing else is read.
  void read_range(const std::string& name, std::int64_t begin, std::span<float> values) const;
  std::string read_text_attribute(const std::string& object, const std::string& name) const;

  /// The happy end: only this can report a full disk. @throws IoError.
  void close();

 private:
  File(UniqueHandle<FileTraits> handle, std::filesystem::path path);
  std::string path_text() const { return path_.string(); }
  void write_raw(const std::string& name, const void* values, std::size_t count, hid_t type,
                 const Dims& dims);
  void create_virtual(const std::string& name, hid_t space, hid_t creation);

  UniqueHandle<FileTraits> handle_;
  std::filesystem::path path_;
};

}  // namespace vrwkv::hdf5
