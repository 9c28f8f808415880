// SPDX-License-Identifier: Apache-2.0
// Bytes as the index of a data file, their checksum mended: refused as damaged, or every fact of it can be
// asked for.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "common/crc32c.h"
#include "common/error.h"
#include "data/index/index_format.h"
#include "data/index/sample_index.h"

namespace {

using namespace vrwkv::data;

void ask_everything(const SampleIndex& index, std::int64_t sample) {
  try {
    const SampleIndex::Place place = index.place(sample);
    if (place.begin + place.bytes > index.origin().bytes) __builtin_trap();
    training_defect(index.shape(sample), 128, 4);
    index.fingerprint(sample);
    index.render_defect(sample);
    for (const std::int64_t image : index.images(sample)) index.image_path(image);
  } catch (const vrwkv::DataError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size >= sizeof(index_format::Header)) {
    const std::uint32_t checksum =
        vrwkv::crc32c(bytes.data() + index_format::kChecksumBegin, size - index_format::kChecksumBegin);
    std::memcpy(bytes.data() + offsetof(index_format::Header, checksum), &checksum, sizeof(checksum));
  }
  try {
    const SampleIndex index = SampleIndex::parse(bytes, "fuzz");
    for (std::int64_t sample = 0; sample < index.size(); ++sample) ask_everything(index, sample);
  } catch (const vrwkv::DataError&) {
  }
  return 0;
}
