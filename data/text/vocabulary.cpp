// SPDX-License-Identifier: Apache-2.0
#include "data/text/vocabulary.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "common/error.h"
#include "common/file_system.h"

namespace vrwkv::data {
namespace {

template <class Integer>
std::optional<Integer> parse_integer(std::string_view text, int base = 10) {
  Integer value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (failure != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

/// Only for the code points that two- and four-digit escapes can name.
void append_utf8(std::uint32_t code_point, std::string& text) {
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += static_cast<char>(0xc0 | (code_point >> 6));
    text += static_cast<char>(0x80 | (code_point & 0x3f));
  } else {
    text += static_cast<char>(0xe0 | (code_point >> 12));
    text += static_cast<char>(0x80 | ((code_point >> 6) & 0x3f));
    text += static_cast<char>(0x80 | (code_point & 0x3f));
  }
}

/// What a backslash stands for. `rest` begins after the backslash and is moved behind the escape; false when
/// it is none of those that the vocabulary uses.
bool append_escape(std::string_view& rest, bool is_bytes, std::string& text) {
  if (rest.empty()) return false;
  const char kind = rest.front();
  rest.remove_prefix(1);
  if (kind == '\\' || kind == '\'' || kind == '"') return text += kind, true;
  if (kind == 'n') return text += '\n', true;
  if (kind == 'r') return text += '\r', true;
  if (kind == 't') return text += '\t', true;
  const std::size_t digits = kind == 'x' ? 2 : kind == 'u' && !is_bytes ? 4 : 0;
  if (digits == 0 || rest.size() < digits) return false;
  const auto code_point = parse_integer<std::uint32_t>(rest.substr(0, digits), 16);
  if (!code_point) return false;
  rest.remove_prefix(digits);
  if (is_bytes) {
    text += static_cast<char>(*code_point);
  } else {
    append_utf8(*code_point, text);
  }
  return true;
}

/// The bytes of a Python literal; nothing when it is not one.
std::optional<std::string> parse_literal(std::string_view literal) {
  const bool is_bytes = literal.starts_with('b');
  if (is_bytes) literal.remove_prefix(1);
  if (literal.size() < 2 || literal.front() != literal.back()) return {};
  if (literal.front() != '\'' && literal.front() != '"') return {};
  std::string text;
  for (std::string_view rest = literal.substr(1, literal.size() - 2); !rest.empty();) {
    const char character = rest.front();
    rest.remove_prefix(1);
    if (character != '\\') {
      text += character;
    } else if (!append_escape(rest, is_bytes, text)) {
      return {};
    }
  }
  return text;
}

struct Entry {
  std::int64_t id = 0;
  std::string text;
};

/// Literals contain spaces: the id ends at the first space, the length begins after the last.
std::optional<Entry> parse_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == last) return {};
  const auto id = parse_integer<std::int64_t>(line.substr(0, first));
  const auto length = parse_integer<std::size_t>(line.substr(last + 1));
  auto text = parse_literal(line.substr(first + 1, last - first - 1));
  if (!id || *id < 0 || !text || text->empty() || text->size() != length) return {};
  return Entry{*id, std::move(*text)};
}

std::string read_text(const std::filesystem::path& file) {
  try {
    return read_file(file);
  } catch (const IoError& error) {
    throw DataError("{}. Check [data] vocabulary.", error.what());
  }
}

}  // namespace

std::vector<std::string> read_vocabulary(const std::filesystem::path& file, std::int64_t size) {
  const std::string content = read_text(file);
  std::vector<std::string> tokens(static_cast<std::size_t>(size));
  std::int64_t line_number = 0;
  for (std::string_view rest = content; !rest.empty();) {
    ++line_number;
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    auto entry = parse_line(line);
    if (!entry)
      throw DataError("{}:{}: not a vocabulary line \"id literal length\". Use rwkv_vocab_v20230424.txt.",
                      file.string(), line_number);
    if (entry->id < size) tokens[static_cast<std::size_t>(entry->id)] = std::move(entry->text);
  }
  return tokens;
}

}  // namespace vrwkv::data
