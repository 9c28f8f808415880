// SPDX-License-Identifier: Apache-2.0
#include "common/tensor_file/zip_writer.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace vrwkv::tensor_file {
namespace {

constexpr std::uint64_t kAlignment = 64;
constexpr std::uint32_t kIn64 = 0xffffffff;
constexpr std::uint16_t kVersion64 = 45;
constexpr std::uint16_t kExtra64 = 1;
constexpr std::uint16_t kPadding = 0x4246;  // "FB", as PyTorch calls it
constexpr std::uint16_t kUtf8 = 0x0800;
constexpr std::uint16_t kDate = 0x0021;  // 1980-01-01: the same bytes whenever they are written
constexpr std::uint64_t kCrcInHeader = 14;

template <class Number>
void put(std::string& text, Number value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Both sizes stand in a zip64 field, whose length so does not depend on them.
std::string local_header(const std::string& name, std::uint64_t position, std::uint64_t bytes) {
  constexpr std::size_t kExtra64Bytes = 4 + 16;
  const std::uint64_t unpadded = position + 30 + name.size() + kExtra64Bytes + 4;
  const std::uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  std::string header;
  put<std::uint32_t>(header, 0x04034b50);
  put<std::uint16_t>(header, kVersion64);
  put<std::uint16_t>(header, kUtf8);
  put<std::uint16_t>(header, 0);  // stored
  put<std::uint16_t>(header, 0);
  put<std::uint16_t>(header, kDate);
  put<std::uint32_t>(header, 0);  // the checksum, known at the end
  put<std::uint32_t>(header, kIn64);
  put<std::uint32_t>(header, kIn64);
  put(header, static_cast<std::uint16_t>(name.size()));
  put(header, static_cast<std::uint16_t>(kExtra64Bytes + 4 + padding));
  header += name;
  put<std::uint16_t>(header, kExtra64);
  put<std::uint16_t>(header, 16);
  put(header, bytes);
  put(header, bytes);
  put<std::uint16_t>(header, kPadding);
  put(header, static_cast<std::uint16_t>(padding));
  header.append(padding, 'Z');
  return header;
}

}  // namespace

ZipWriter::ZipWriter(const std::filesystem::path& path, std::string folder)
    : file_(path), folder_(std::move(folder)) {}

void ZipWriter::begin(const std::string& name, std::uint64_t bytes) {
  entries_.push_back({folder_ + "/" + name, file_.position(), bytes, 0});
  file_.append(local_header(entries_.back().name, file_.position(), bytes));
}

void ZipWriter::append(std::string_view bytes) {
  Entry& entry = entries_.back();
  entry.crc32 = static_cast<std::uint32_t>(
      ::crc32_z(entry.crc32, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
  file_.append(bytes);
}

void ZipWriter::end() {
  std::string checksum;
  put(checksum, entries_.back().crc32);
  file_.patch(entries_.back().header + kCrcInHeader, checksum);
}

void ZipWriter::add(const std::string& name, std::string_view content) {
  begin(name, content.size());
  append(content);
  end();
}

void ZipWriter::finish() {
  const std::uint64_t begin = file_.position();
  for (const Entry& entry : entries_) {
    std::string record;
    put<std::uint32_t>(record, 0x02014b50);
    put<std::uint16_t>(record, kVersion64);
    put<std::uint16_t>(record, kVersion64);
    put<std::uint16_t>(record, kUtf8);
    put<std::uint16_t>(record, 0);
    put<std::uint16_t>(record, 0);
    put<std::uint16_t>(record, kDate);
    put(record, entry.crc32);
    put<std::uint32_t>(record, kIn64);
    put<std::uint32_t>(record, kIn64);
    put(record, static_cast<std::uint16_t>(entry.name.size()));
    put<std::uint16_t>(record, 4 + 24);
    record.append(2 + 2 + 2 + 4, '\0');  // no comment, disk 0, no attributes
    put<std::uint32_t>(record, kIn64);
    record += entry.name;
    put<std::uint16_t>(record, kExtra64);
    put<std::uint16_t>(record, 24);
    put(record, entry.bytes);
    put(record, entry.bytes);
    put(record, entry.header);
    file_.append(record);
  }
  const std::uint64_t end = file_.position();
  std::string tail;
  put<std::uint32_t>(tail, 0x06064b50);
  put<std::uint64_t>(tail, 44);
  put<std::uint16_t>(tail, kVersion64);
  put<std::uint16_t>(tail, kVersion64);
  put<std::uint64_t>(tail, 0);  // disks
  put<std::uint64_t>(tail, entries_.size());
  put<std::uint64_t>(tail, entries_.size());
  put<std::uint64_t>(tail, end - begin);
  put<std::uint64_t>(tail, begin);
  put<std::uint32_t>(tail, 0x07064b50);
  put<std::uint32_t>(tail, 0);
  put<std::uint64_t>(tail, end);
  put<std::uint32_t>(tail, 1);
  put<std::uint32_t>(tail, 0x06054b50);
  put<std::uint32_t>(tail, 0);
  const auto few = static_cast<std::uint16_t>(std::min<std::size_t>(entries_.size(), 0xffff));
  put(tail, few);
  put(tail, few);
  put<std::uint32_t>(tail, kIn64);
  put<std::uint32_t>(tail, kIn64);
  put<std::uint16_t>(tail, 0);
  file_.append(tail);
  file_.commit();
}

}  // namespace vrwkv::tensor_file
