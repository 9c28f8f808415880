// SPDX-License-Identifier: Apache-2.0
#include "trainer/features/feature_shard.h"

#include <ATen/ATen.h>

#include <span>
#include <utility>

#include "common/crc32c.h"
#include "common/error.h"

namespace vrwkv::trainer {
namespace {

hdf5::RowElement element_of(FeatureType type) {
  switch (type) {
    case FeatureType::kFp32:
      return hdf5::RowElement::kFloat32;
    case FeatureType::kBf16:
      return hdf5::RowElement::kUint16;
    case FeatureType::kFp8:
      return hdf5::RowElement::kUint8;
  }
  return hdf5::RowElement::kUint8;
}

at::ScalarType scalar_type_of(FeatureType type) {
  switch (type) {
    case FeatureType::kFp32:
      return at::kFloat;
    case FeatureType::kBf16:
      return at::kBFloat16;
    case FeatureType::kFp8:
      return at::kFloat8_e4m3fn;
  }
  return at::kFloat;
}

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

constexpr std::int64_t kNotWritten = -1;

/// Not a DataError, which would make only a sample bad: the store is.
Error damaged(const std::filesystem::path& path, const std::string& what) {
  return {ExitCode::kDataRefused,
          fmt::format("{}: {} (features would be wrong). Delete the file, and run `data features` again.",
                      path.string(), what)};
}

}  // namespace

FeatureShardWriter::FeatureShardWriter(const std::filesystem::path& path, std::vector<std::string> images,
                                       const FeatureShape& shape)
    : shape_(shape),
      partial_(path),
      checksums_(images.size(), kNotWritten),
      defects_(images.size()),
      files_(2 * images.size()) {
  const auto count = static_cast<std::int64_t>(images.size());
  partial_.file().write_texts("/images", images);
  partial_.file().create_rows("/features", element_of(shape.type), {count, shape.tokens, shape.width});
  if (shape.scale_bytes() > 0)
    partial_.file().create_rows("/scales", hdf5::RowElement::kFloat32, {count, shape.tokens});
}

void FeatureShardWriter::write(std::int64_t image, const ImageIdentity& file,
                               const StoredFeatures& features) {
  partial_.file().write_row("/features", image, bytes_of(features.values));
  std::uint32_t checksum = crc32c(features.values.const_data_ptr(), features.values.nbytes());
  if (features.scales.defined()) {
    partial_.file().write_row("/scales", image, bytes_of(features.scales));
    checksum = crc32c(features.scales.const_data_ptr(), features.scales.nbytes(), checksum);
  }
  enter(image, file, checksum);
}

void FeatureShardWriter::refuse(std::int64_t image, const ImageIdentity& file, const std::string& reason) {
  defects_[static_cast<std::size_t>(image)] = reason;
  enter(image, file, 0);
}

void FeatureShardWriter::enter(std::int64_t image, const ImageIdentity& file, std::uint32_t checksum) {
  const auto i = static_cast<std::size_t>(image);
  checksums_[i] = checksum;
  files_[2 * i] = file.bytes;
  files_[2 * i + 1] = file.checksum;
}

void FeatureShardWriter::commit() {
  for (std::size_t i = 0; i < checksums_.size(); ++i)
    if (checksums_[i] == kNotWritten)
      throw Error(ExitCode::kFailed, fmt::format("features: image {} has none", i));
  const auto count = static_cast<std::int64_t>(checksums_.size());
  partial_.file().write("/crc32c", checksums_, {count});
  partial_.file().write("/files", files_, {count, 2});
  partial_.file().write_texts("/defects", defects_);
  partial_.commit();
}

FeatureShard::FeatureShard(const std::filesystem::path& path, const FeatureShape& shape)
    : shape_(shape), file_(path) {
  try {
    const auto file = hdf5::File::open(path);
    images_ = file.read_texts("/images");
    defects_ = file.read_texts("/defects");
    checksums_ = file.read_integers("/crc32c");
    files_ = file.read_integers("/files");
    if (file.dims("/features") !=
        hdf5::Dims{static_cast<std::int64_t>(images_.size()), shape.tokens, shape.width})
      throw damaged(path, "its features have another shape");
    feature_offsets_ = file.row_offsets("/features");
    if (shape.scale_bytes() > 0) scale_offsets_ = file.row_offsets("/scales");
  } catch (const IoError& error) {
    throw damaged(path, error.what());
  }
  const std::size_t count = images_.size();
  if (defects_.size() != count || checksums_.size() != count || files_.size() != 2 * count ||
      (shape.scale_bytes() > 0 && scale_offsets_.size() != count))
    throw damaged(path, "its parts are of different lengths");
}

const char* FeatureShard::row(std::uint64_t offset, std::int64_t bytes) const {
  const std::string_view content = file_.content();
  if (offset > content.size() || static_cast<std::uint64_t>(bytes) > content.size() - offset)
    throw damaged(file_.path(), "ends too early");
  return content.data() + offset;
}

at::Tensor FeatureShard::read(std::int64_t image) const {
  const auto i = static_cast<std::size_t>(image);
  // The mapping is read-only, and from_stored() makes a tensor of its own.
  const auto view = [](const char* bytes, at::IntArrayRef sizes, at::ScalarType type) {
    return at::from_blob(const_cast<char*>(bytes), sizes, at::TensorOptions(type));
  };
  const char* const features = row(feature_offsets_[i], shape_.feature_bytes());
  std::uint32_t checksum = crc32c(features, static_cast<std::size_t>(shape_.feature_bytes()));
  StoredFeatures stored{.values = view(features, {shape_.tokens, shape_.width}, scalar_type_of(shape_.type)),
                        .scales = {}};
  if (shape_.scale_bytes() > 0) {
    const char* const scales = row(scale_offsets_[i], shape_.scale_bytes());
    checksum = crc32c(scales, static_cast<std::size_t>(shape_.scale_bytes()), checksum);
    stored.scales = view(scales, {shape_.tokens}, at::kFloat);
  }
  if (checksum != checksums_[i])
    throw damaged(file_.path(),
                  fmt::format("the features of '{}' changed since they were written", images_[i]));
  const at::Tensor read = from_stored(stored);
  return read.is_alias_of(stored.values) ? read.clone() : read;
}

}  // namespace vrwkv::trainer
