// SPDX-License-Identifier: Apache-2.0
#include "common/hdf5/file.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "common/error.h"
#include "common/hdf5/handles.h"

namespace vrwkv::hdf5 {
namespace {

/// A file that cannot be closed because the disk is full crashes the library when it shuts down later, which
/// it does at exit or inside MPI_Finalize, and the crash would hide our error. We close every file ourselves,
/// so it never needs to shut down; that can only be arranged before MPI starts, hence before main().
const bool kNeverShutsDown = H5dont_atexit() >= 0 && H5open() >= 0;

/// The library prints its error stack by default; we put the innermost reason into the exception instead.
void silence_library() {
  static const herr_t once = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  static_cast<void>(once);
  static_cast<void>(kNeverShutsDown);
}

/// A box of a row-major tensor: `count` elements from `start` in each dimension.
struct Box {
  std::vector<hsize_t> start;
  std::vector<hsize_t> count;
};

/// The fewest axis-aligned boxes, in row-major order, that make up elements [begin, end) of a tensor.
void append_boxes(const Dims& dims, std::size_t axis, std::vector<hsize_t> prefix, std::int64_t begin,
                  std::int64_t end, std::vector<Box>& boxes) {
  if (begin >= end) return;
  const std::int64_t row = std::accumulate(dims.begin() + static_cast<std::ptrdiff_t>(axis) + 1, dims.end(),
                                           std::int64_t{1}, std::multiplies<>());
  const auto partial = [&](std::int64_t index, std::int64_t from, std::int64_t to) {
    auto deeper = prefix;
    deeper.push_back(static_cast<hsize_t>(index));
    append_boxes(dims, axis + 1, std::move(deeper), from, to, boxes);
  };
  std::int64_t first = begin / row;
  if (begin % row != 0) {
    const std::int64_t stop = std::min(end, (first + 1) * row);
    partial(first, begin % row, stop - first * row);
    begin = stop;
    ++first;
  }
  const std::int64_t whole = begin < end ? end / row - first : 0;
  if (whole > 0) {
    Box box;
    box.start = prefix;
    box.start.push_back(static_cast<hsize_t>(first));
    box.count.assign(prefix.size(), 1);
    box.count.push_back(static_cast<hsize_t>(whole));
    for (std::size_t d = axis + 1; d < dims.size(); ++d) {
      box.start.push_back(0);
      box.count.push_back(static_cast<hsize_t>(dims[d]));
    }
    boxes.push_back(std::move(box));
    begin += whole * row;
  }
  if (begin < end) partial(first + std::max<std::int64_t>(whole, 0), 0, end - begin);
}

}  // namespace

File::File(UniqueHandle<FileTraits> handle, std::filesystem::path path)
    : handle_(std::move(handle)), path_(std::move(path)) {}

File File::create(const std::filesystem::path& path) {
  silence_library();
  const Properties access(H5Pcreate(H5P_FILE_ACCESS));
  // Large datasets start on a page, so that they can be read and written directly.
  H5Pset_alignment(access.get(), hsize_t{1} << 20, 4096);
  const hid_t id = H5Fcreate(path.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, access.get());
  return {UniqueHandle<FileTraits>(checked(id, path, "cannot be created")), path};
}

File File::open(const std::filesystem::path& path) {
  silence_library();
  const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  return {UniqueHandle<FileTraits>(checked(id, path, "cannot be opened as HDF5")), path};
}

void File::write_raw(const std::string& name, const void* values, std::size_t count, hid_t type,
                     const Dims& dims) {
  const auto expected = std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, std::multiplies<>());
  if (static_cast<std::int64_t>(count) != expected)
    throw ShapeError("{}: {}: {} values for {} elements", path_text(), name, count, expected);
  const Dataspace space = make_space(dims, path_);
  const Properties links = creates_groups();
  const Dataset dataset(checked(
      H5Dcreate2(handle_.get(), name.c_str(), type, space.get(), links.get(), H5P_DEFAULT, H5P_DEFAULT),
      path_, name));
  if (count == 0) return;
  checked_status(H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), path_, name);
}

void File::write(const std::string& name, std::span<const float> values, const Dims& dims) {
  write_raw(name, values.data(), values.size(), H5T_IEEE_F32LE, dims);
}
void File::write(const std::string& name, std::span<const std::int64_t> values, const Dims& dims) {
  write_raw(name, values.data(), values.size(), H5T_STD_I64LE, dims);
}
void File::write(const std::string& name, std::span<const std::uint8_t> values, const Dims& dims) {
  write_raw(name, values.data(), values.size(), H5T_STD_U8LE, dims);
}

void File::write_attribute(const std::string& object, const std::string& name, const std::string& value) {
  const Object owner(checked(H5Oopen(handle_.get(), object.c_str(), H5P_DEFAULT), path_, object));
  const Datatype type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.get(), std::max<std::size_t>(1, value.size()));
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  const Dataspace space = make_space({}, path_);
  const Attribute attribute(checked(
      H5Acreate2(owner.get(), name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), path_, name));
  checked_status(H5Awrite(attribute.get(), type.get(), value.c_str()), path_, name);
}

void File::write_attribute(const std::string& object, const std::string& name, std::int64_t value) {
  const Object owner(checked(H5Oopen(handle_.get(), object.c_str(), H5P_DEFAULT), path_, object));
  const Dataspace space = make_space({}, path_);
  const Attribute attribute(
      checked(H5Acreate2(owner.get(), name.c_str(), H5T_STD_I64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT),
              path_, name));
  checked_status(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &value), path_, name);
}

void File::write_virtual(const std::string& name, const Dims& dims, const std::vector<Source>& sources) {
  const Properties creation(H5Pcreate(H5P_DATASET_CREATE));
  const Dataspace target = make_space(dims, path_);
  for (const auto& source : sources) {
    std::vector<Box> boxes;
    append_boxes(dims, 0, {}, source.target_begin, source.target_begin + source.elements, boxes);
    std::int64_t taken = source.source_begin;
    for (const auto& box : boxes) {
      const auto elements =
          std::accumulate(box.count.begin(), box.count.end(), hsize_t{1}, std::multiplies<>());
      const Dataspace from = make_space({source.source_elements}, path_);
      const auto begin = static_cast<hsize_t>(taken);
      checked_status(H5Sselect_hyperslab(from.get(), H5S_SELECT_SET, &begin, nullptr, &elements, nullptr),
                     path_, name);
      checked_status(H5Sselect_hyperslab(target.get(), H5S_SELECT_SET, box.start.data(), nullptr,
                                         box.count.data(), nullptr),
                     path_, name);
      checked_status(H5Pset_virtual(creation.get(), target.get(), source.file.c_str(), source.dataset.c_str(),
                                    from.get()),
                     path_, name);
      taken += static_cast<std::int64_t>(elements);
    }
  }
  checked_status(H5Sselect_all(target.get()), path_, name);
  create_virtual(name, target.get(), creation.get());
}

void File::write_virtual_whole(const std::string& name, const Dims& dims, const std::string& file,
                               const std::string& dataset) {
  const Properties creation(H5Pcreate(H5P_DATASET_CREATE));
  const Dataspace space = make_space(dims, path_);
  checked_status(H5Pset_virtual(creation.get(), space.get(), file.c_str(), dataset.c_str(), space.get()),
                 path_, name);
  create_virtual(name, space.get(), creation.get());
}

void File::create_virtual(const std::string& name, hid_t space, hid_t creation) {
  const Properties links = creates_groups();
  const Dataset dataset(checked(
      H5Dcreate2(handle_.get(), name.c_str(), H5T_IEEE_F32LE, space, links.get(), creation, H5P_DEFAULT),
      path_, name));
}

bool File::has(const std::string& name) const {
  // H5Lexists wants every group on the way to exist.
  for (std::size_t slash = name.find('/', 1); slash != std::string::npos; slash = name.find('/', slash + 1))
    if (H5Lexists(handle_.get(), name.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
  return H5Lexists(handle_.get(), name.c_str(), H5P_DEFAULT) > 0;
}

Dims File::dims(const std::string& name) const {
  const Dataset dataset(checked(H5Dopen2(handle_.get(), name.c_str(), H5P_DEFAULT), path_, name));
  const Dataspace space(checked(H5Dget_space(dataset.get()), path_, name));
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0) fail(path_, name);
  std::vector<hsize_t> sizes(static_cast<std::size_t>(rank));
  H5Sget_simple_extent_dims(space.get(), sizes.data(), nullptr);
  return {sizes.begin(), sizes.end()};
}

namespace {
template <class Value>
std::vector<Value> read_all(const File& file, hid_t handle, const std::filesystem::path& path,
                            const std::string& name, hid_t type) {
  const Dims dims = file.dims(name);
  std::vector<Value> values(static_cast<std::size_t>(
      std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, std::multiplies<>())));
  const Dataset dataset(checked(H5Dopen2(handle, name.c_str(), H5P_DEFAULT), path, name));
  if (!values.empty())
    checked_status(H5Dread(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), path, name);
  return values;
}
}  // namespace

std::vector<float> File::read_floats(const std::string& name) const {
  return read_all<float>(*this, handle_.get(), path_, name, H5T_NATIVE_FLOAT);
}
std::vector<std::int64_t> File::read_integers(const std::string& name) const {
  return read_all<std::int64_t>(*this, handle_.get(), path_, name, H5T_NATIVE_INT64);
}

void File::read_range(const std::string& name, std::int64_t begin, std::span<float> values) const {
  if (values.empty()) return;
  std::vector<Box> boxes;
  append_boxes(dims(name), 0, {}, begin, begin + static_cast<std::int64_t>(values.size()), boxes);
  const Dataset dataset(checked(H5Dopen2(handle_.get(), name.c_str(), H5P_DEFAULT), path_, name));
  const Dataspace space(checked(H5Dget_space(dataset.get()), path_, name));
  float* target = values.data();
  for (const Box& box : boxes) {
    checked_status(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, box.start.data(), nullptr,
                                       box.count.data(), nullptr),
                   path_, name);
    const auto elements =
        std::accumulate(box.count.begin(), box.count.end(), hsize_t{1}, std::multiplies<>());
    const Dataspace memory = make_space({static_cast<std::int64_t>(elements)}, path_);
    checked_status(H5Dread(dataset.get(), H5T_NATIVE_FLOAT, memory.get(), space.get(), H5P_DEFAULT, target),
                   path_, name);
    target += elements;
  }
}

std::string File::read_text_attribute(const std::string& object, const std::string& name) const {
  const Object owner(checked(H5Oopen(handle_.get(), object.c_str(), H5P_DEFAULT), path_, object));
  const Attribute attribute(checked(H5Aopen(owner.get(), name.c_str(), H5P_DEFAULT), path_, name));
  const Datatype type(checked(H5Aget_type(attribute.get()), path_, name));
  std::string value(H5Tget_size(type.get()), '\0');
  checked_status(H5Aread(attribute.get(), type.get(), value.data()), path_, name);
  return value;
}

void File::close() {
  const std::filesystem::path path = path_;
  checked_status(H5Fclose(handle_.take()), path, "cannot be closed (is the disk full?)");
}

}  // namespace vrwkv::hdf5
