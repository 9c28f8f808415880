// SPDX-License-Identifier: Apache-2.0
// The format: POSIX.1-2017, "pax", ustar Interchange Format and pax Header Block; GNU tar's manual, "Basic
// Tar Format", for long names ('L') and numbers in base 256.
#include "data/storage/tar_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "common/error.h"

namespace vrwkv::data {
namespace {

constexpr std::uint64_t kBlock = 512;
/// Longer names and pax headers are refused: they are of no use for images.
constexpr std::uint64_t kMostHeaderBytes = 1 << 16;

using Block = std::array<char, kBlock>;

std::string_view field(const Block& header, std::size_t begin, std::size_t length) {
  const std::string_view all(header.data() + begin, length);
  return all.substr(0, all.find('\0'));
}

/// Digits of `base` with spaces around; nothing when there is anything else, or too much.
std::optional<std::uint64_t> number(std::string_view digits, unsigned base) {
  const std::size_t first = digits.find_first_not_of(' ');
  if (first == std::string_view::npos) return 0;
  digits = digits.substr(first, digits.find_last_not_of(' ') + 1 - first);
  std::uint64_t value = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit >= static_cast<char>('0' + base) || value >> 59 != 0) return std::nullopt;
    value = value * base + static_cast<std::uint64_t>(digit - '0');
  }
  return value;
}

/// Octal or, with the first bit set, GNU's base 256.
std::optional<std::uint64_t> size_of(const Block& header) {
  constexpr std::size_t kBegin = 124, kLength = 12;
  if ((static_cast<unsigned char>(header[kBegin]) & 0x80U) == 0)
    return number(field(header, kBegin, kLength), 8);
  std::uint64_t value = static_cast<unsigned char>(header[kBegin]) & 0x7fU;
  for (std::size_t i = 1; i < kLength; ++i) {
    if (value >> 55 != 0) return std::nullopt;
    value = value << 8 | static_cast<unsigned char>(header[kBegin + i]);
  }
  return value;
}

bool has_right_checksum(const Block& header) {
  constexpr std::size_t kBegin = 148, kLength = 8;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < header.size(); ++i)
    sum += i >= kBegin && i < kBegin + kLength ? ' ' : static_cast<unsigned char>(header[i]);
  return number(field(header, kBegin, kLength), 8) == sum;
}

std::string without_lead(std::string_view name) {
  while (name.starts_with('/') || name.starts_with("./")) name.remove_prefix(name.starts_with('/') ? 1 : 2);
  return std::string(name);
}

/// What a pax header or a GNU header says about the member that follows.
struct Override {
  std::optional<std::string> name;
  std::optional<std::uint64_t> bytes;
};

class TarLister {
 public:
  TarLister(const std::string& file, std::uint64_t size, const ReadAt& read_at)
      : file_(file), size_(size), read_at_(read_at) {}

  std::vector<TarMember> list() {
    Block header{};
    while (position_ < size_) {
      read(position_, header.size(), header.data());
      if (std::all_of(header.begin(), header.end(), [](char byte) { return byte == 0; }))
        return std::move(members_);
      if (!has_right_checksum(header)) fail("no tar header (or a damaged one)");
      take(header);
    }
    throw DataError(
        "{}: tar file is truncated (its {} bytes lack the end that every tar file has). Fetch or pack the "
        "file again.",
        file_, size_);
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw DataError("{}: holds {} at byte {} (what follows cannot be found). Fetch or pack the file again.",
                    file_, what, position_);
  }

  void read(std::uint64_t offset, std::size_t count, char* to) const {
    if (count > size_ || offset > size_ - count || read_at_(offset, count, to) != count)
      throw DataError(
          "{}: tar file is truncated (it ends at byte {}, within a header). Fetch or pack the file again.",
          file_, size_);
  }

  void take(const Block& header) {
    constexpr std::size_t kType = 156;
    const char type = header[kType];
    const bool is_pax_header = type == 'x' || type == 'g';
    const bool is_header = is_pax_header || type == 'L' || type == 'K';
    const std::optional<std::uint64_t> stated =
        is_header || !override_.bytes ? size_of(header) : override_.bytes;
    if (!stated) fail("a member whose size is no number");
    // Links, folders and devices have a size that means nothing.
    const std::uint64_t bytes = type >= '1' && type <= '6' ? 0 : *stated;
    const std::uint64_t begin = position_ + kBlock;
    if (bytes > size_ - begin)
      throw DataError(
          "{}: tar file is truncated (a member ends at byte {}, the file at {}). Fetch or pack the file "
          "again.",
          file_, begin + bytes, size_);
    if (is_header)
      take_override(type, read_text(begin, bytes));
    else if (type == '0' || type == '\0' || type == '7')
      members_.push_back({without_lead(override_.name.value_or(name_of(header))), begin, bytes});
    if (!is_header) override_ = {};
    position_ = begin + (bytes + kBlock - 1) / kBlock * kBlock;
  }

  static std::string name_of(const Block& header) {
    constexpr std::size_t kName = 0, kNameLength = 100, kMagic = 257, kPrefix = 345, kPrefixLength = 155;
    std::string name(field(header, kName, kNameLength));
    // GNU's older format ("ustar  ") has other fields where ustar has the prefix.
    const bool is_ustar = std::memcmp(header.data() + kMagic, "ustar\0", 6) == 0;
    const std::string_view prefix = is_ustar ? field(header, kPrefix, kPrefixLength) : std::string_view();
    return prefix.empty() ? name : std::string(prefix) + "/" + name;
  }

  std::string read_text(std::uint64_t begin, std::uint64_t bytes) const {
    if (bytes > kMostHeaderBytes) fail("an extended header of more than 65,536 bytes");
    std::string text(static_cast<std::size_t>(bytes), '\0');
    read(begin, text.size(), text.data());
    return text;
  }

  void take_override(char type, const std::string& text) {
    if (type == 'L') override_.name = text.substr(0, text.find('\0'));
    if (type == 'x') take_pax_records(text);
    // 'K', the target of a link, and 'g', what holds for all members, say nothing about a name or a size.
  }

  /// Records "LENGTH KEY=VALUE\n", where LENGTH counts the whole record.
  void take_pax_records(std::string_view text) {
    while (!text.empty() && text.front() != '\0') {
      const std::size_t space = text.find(' ');
      const auto length =
          space == std::string_view::npos || space == 0 ? std::nullopt : number(text.substr(0, space), 10);
      if (!length || *length > text.size() || *length < space + 2) fail("a pax header that is damaged");
      const std::string_view record = text.substr(space + 1, *length - space - 2);
      const std::size_t equals = record.find('=');
      if (equals == std::string_view::npos) fail("a pax header that is damaged");
      const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
      if (key == "path") override_.name = std::string(value);
      if (key == "size") {
        override_.bytes = number(value, 10);
        if (!override_.bytes) fail("a member whose size is no number");
      }
      text.remove_prefix(*length);
    }
  }

  const std::string& file_;
  const std::uint64_t size_;
  const ReadAt& read_at_;
  std::uint64_t position_ = 0;
  Override override_;
  std::vector<TarMember> members_;
};

}  // namespace

std::vector<TarMember> list_tar(const std::string& file, std::uint64_t size, const ReadAt& read_at) {
  return TarLister(file, size, read_at).list();
}

}  // namespace vrwkv::data
