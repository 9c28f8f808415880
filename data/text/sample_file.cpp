// SPDX-License-Identifier: Apache-2.0
#include "data/text/sample_file.h"

#include "common/error.h"
#include "data/text/json_array.h"

namespace vrwkv::data {

MappedFile map_data_file(const std::filesystem::path& path) {
  try {
    return MappedFile(path);
  } catch (const IoError& error) {
    throw DataError("{} Check [data] file.", error.what());
  }
}

SampleFile SampleFile::open(const std::filesystem::path& path) {
  SampleFile samples{map_data_file(path)};
  const std::string_view content = samples.file_.content();
  JsonArrayScanner scanner(content, path.string());
  while (const auto element = scanner.next()) {
    parse_record(element->text, path.string(), element->line, samples.size());
    samples.elements_.push_back({static_cast<std::uint64_t>(element->text.data() - content.data()),
                                 element->text.size(), element->line});
  }
  if (samples.elements_.empty()) throw DataError("{}: holds no samples. Check [data] file.", path.string());
  return samples;
}

Record SampleFile::read(std::int64_t index) const {
  const Element& element = elements_.at(static_cast<std::size_t>(index));
  return parse_record(file_.content().substr(element.begin, element.bytes), path().string(), element.line,
                      index);
}

}  // namespace vrwkv::data
