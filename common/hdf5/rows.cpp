// SPDX-License-Identifier: Apache-2.0
// Datasets of rows that are written one by one, and lists of texts.
#include <functional>
#include <numeric>

#include "common/error.h"
#include "common/hdf5/file.h"
#include "common/hdf5/handles.h"

namespace vrwkv::hdf5 {
namespace {

hid_t type_of(RowElement element) {
  switch (element) {
    case RowElement::kFloat32:
      return H5T_IEEE_F32LE;
    case RowElement::kUint16:
      return H5T_STD_U16LE;
    case RowElement::kUint8:
      return H5T_STD_U8LE;
  }
  return H5I_INVALID_HID;
}

Datatype text_type() {
  Datatype type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

}  // namespace

void File::create_rows(const std::string& name, RowElement element, const Dims& dims) {
  auto row = to_sizes(dims);
  row.at(0) = 1;
  const Properties creation(H5Pcreate(H5P_DATASET_CREATE));
  checked_status(H5Pset_chunk(creation.get(), static_cast<int>(row.size()), row.data()), path_, name);
  H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
  const Dataspace space = make_space(dims, path_);
  const Properties links = creates_groups();
  const Dataset dataset(checked(H5Dcreate2(handle_.get(), name.c_str(), type_of(element), space.get(),
                                           links.get(), creation.get(), H5P_DEFAULT),
                                path_, name));
}

void File::write_row(const std::string& name, std::int64_t row, std::span<const std::byte> bytes) {
  const Dataset dataset(checked(H5Dopen2(handle_.get(), name.c_str(), H5P_DEFAULT), path_, name));
  const Dims all = dims(name);
  const Datatype type(checked(H5Dget_type(dataset.get()), path_, name));
  const auto elements = std::accumulate(all.begin() + 1, all.end(), std::int64_t{1}, std::multiplies<>());
  const auto expected = static_cast<std::size_t>(elements) * H5Tget_size(type.get());
  if (row < 0 || row >= all[0] || bytes.size() != expected)
    throw ShapeError("{}: {}: row {} of {} bytes, but there are {} of {}", path_text(), name, row,
                     bytes.size(), all[0], expected);
  std::vector<hsize_t> place(all.size(), 0);
  place[0] = static_cast<hsize_t>(row);
  checked_status(
      H5Dwrite_chunk(dataset.get(), H5P_DEFAULT, /*filters=*/0, place.data(), bytes.size(), bytes.data()),
      path_, name);
}

std::vector<std::uint64_t> File::row_offsets(const std::string& name) const {
  const Dataset dataset(checked(H5Dopen2(handle_.get(), name.c_str(), H5P_DEFAULT), path_, name));
  const Dims all = dims(name);
  std::vector<std::uint64_t> offsets(static_cast<std::size_t>(all.at(0)));
  std::vector<hsize_t> place(all.size(), 0);
  for (std::size_t row = 0; row < offsets.size(); ++row) {
    place[0] = row;
    unsigned filters = 0;
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    checked_status(H5Dget_chunk_info_by_coord(dataset.get(), place.data(), &filters, &address, &bytes), path_,
                   name);
    if (address == HADDR_UNDEF || filters != 0) fail(path_, name);
    offsets[row] = address;
  }
  return offsets;
}

void File::write_texts(const std::string& name, const std::vector<std::string>& values) {
  std::vector<const char*> texts;
  texts.reserve(values.size());
  for (const std::string& value : values) texts.push_back(value.c_str());
  const Dataspace space = make_space({static_cast<std::int64_t>(values.size())}, path_);
  const Properties links = creates_groups();
  const Datatype type = text_type();
  const Dataset dataset(checked(
      H5Dcreate2(handle_.get(), name.c_str(), type.get(), space.get(), links.get(), H5P_DEFAULT, H5P_DEFAULT),
      path_, name));
  if (texts.empty()) return;
  checked_status(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()), path_,
                 name);
}

std::vector<std::string> File::read_texts(const std::string& name) const {
  std::vector<char*> texts(static_cast<std::size_t>(dims(name).at(0)));
  if (texts.empty()) return {};
  const Dataset dataset(checked(H5Dopen2(handle_.get(), name.c_str(), H5P_DEFAULT), path_, name));
  const Datatype type = text_type();
  checked_status(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()), path_,
                 name);
  const std::vector<std::string> values(texts.begin(), texts.end());
  const Dataspace space = make_space({static_cast<std::int64_t>(texts.size())}, path_);
  H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, texts.data());
  return values;
}

}  // namespace vrwkv::hdf5
