// SPDX-License-Identifier: Apache-2.0
#include "data/text/json_array.h"

#include <algorithm>

#include "common/error.h"

namespace vrwkv::data {

std::size_t end_of_json_string(std::string_view text, std::size_t begin) {
  std::size_t quote = begin;
  do {
    quote = text.find('"', quote + 1);
    if (quote == std::string_view::npos) return quote;
    // A quote after an odd number of backslashes belongs to the string.
  } while ((quote - 1 - text.find_last_not_of('\\', quote - 1)) % 2 == 1);
  return quote;
}

std::optional<JsonArrayScanner::Element> JsonArrayScanner::next() {
  if (state_ == State::kBeforeArray) {
    open();
  } else if (state_ == State::kInside && here() == ']') {
    finish();
  } else if (state_ == State::kInside) {
    ++position_;
  }
  if (state_ == State::kDone) return {};
  skip_space();
  require_more();
  return take_element();
}

void JsonArrayScanner::open() {
  skip_space();
  if (at_end()) fail(line(), "is empty (it should be a JSON array of samples).");
  if (here() != '[')
    fail(line(), "not a JSON array of samples (it does not begin with '['). Write [sample, sample, ...].");
  ++position_;
  state_ = State::kInside;
  skip_space();
  require_more();
  if (here() == ']') finish();
}

void JsonArrayScanner::finish() {
  ++position_;
  state_ = State::kDone;
  skip_space();
  if (!at_end()) fail(line(), "something follows the end of the array (only one array is read).");
}

JsonArrayScanner::Element JsonArrayScanner::take_element() {
  const std::size_t begin = position_;
  const std::int64_t first_line = line();
  std::int64_t depth = 0;
  for (; !at_end(); ++position_) {
    const char character = here();
    if (character == '"') {
      skip_string(first_line);
    } else if (character == '{' || character == '[') {
      ++depth;
    } else if (depth == 0 && (character == ',' || character == ']')) {
      break;
    } else if (character == '}' || character == ']') {
      if (--depth < 0) fail(line(), fmt::format("not valid JSON (unexpected '{}').", character));
    }
  }
  if (at_end()) fail(first_line, "the sample that begins here does not end (is the file cut short?).");
  if (position_ - begin > kMostElementBytes)
    fail(first_line, fmt::format("the sample that begins here has {} bytes (at most {} are read).",
                                 position_ - begin, kMostElementBytes));
  if (position_ == begin)
    fail(line(), fmt::format("not valid JSON (a sample is missing before '{}').", here()));
  return {text_.substr(begin, position_ - begin), first_line};
}

void JsonArrayScanner::skip_string(std::int64_t first_line) {
  position_ = end_of_json_string(text_, position_);
  if (position_ == std::string_view::npos)
    fail(first_line, "the sample that begins here has a string that does not end (is the file cut short?).");
}

void JsonArrayScanner::skip_space() {
  position_ = std::min(text_.find_first_not_of(" \t\r\n", position_), text_.size());
}

void JsonArrayScanner::require_more() {
  if (at_end()) fail(line(), "the array does not end (is the file cut short?).");
}

std::int64_t JsonArrayScanner::line() {
  line_ += std::count(text_.begin() + static_cast<std::ptrdiff_t>(counted_),
                      text_.begin() + static_cast<std::ptrdiff_t>(position_), '\n');
  counted_ = position_;
  return line_;
}

void JsonArrayScanner::fail(std::int64_t line, const std::string& message) const {
  throw DataError("{}:{}: {}", name_, line, message);
}

}  // namespace vrwkv::data
