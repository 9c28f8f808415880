// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vrwkv::data {

/// Where the quote is that ends the JSON string whose first quote is at `begin`; npos when there is none.
std::size_t end_of_json_string(std::string_view text, std::size_t begin);

/// Cuts the text of one JSON array into the texts of its elements, in one pass that follows strings and
/// brackets and looks at nothing else. The elements themselves are for a parser to judge.
class JsonArrayScanner {
 public:
  /// @param text  must outlive the scanner.   @param name  stands before each error message.
  JsonArrayScanner(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {}

  struct Element {
    std::string_view text;
    std::int64_t line = 0;  ///< where it begins, from 1
  };
  /// No sample is longer, so that nothing malformed makes a parser take memory without bound.
  static constexpr std::size_t kMostElementBytes = std::size_t{64} << 20;

  /// The next element, or nothing after the last one.
  /// @throws DataError "name:line: ..." when the text is not an array, ends too early or goes on after the
  /// array, or an element is longer than kMostElementBytes.
  std::optional<Element> next();

 private:
  enum class State { kBeforeArray, kInside, kDone };
  void open();
  void finish();
  Element take_element();
  void skip_string(std::int64_t first_line);
  void skip_space();
  void require_more();
  bool at_end() const { return position_ == text_.size(); }
  char here() const { return text_[position_]; }
  /// The line that holds `position_`, which must not go back.
  std::int64_t line();
  [[noreturn]] void fail(std::int64_t line, const std::string& message) const;

  std::string_view text_;
  std::string name_;
  State state_ = State::kBeforeArray;
  std::size_t position_ = 0;  ///< inside the array: the comma or bracket after the last element
  std::size_t counted_ = 0;   ///< newlines before here are in line_
  std::int64_t line_ = 1;
};

}  // namespace vrwkv::data
