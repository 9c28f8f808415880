// SPDX-License-Identifier: Apache-2.0
#include "data/text/record.h"

#include <simdjson.h>

#include <optional>
#include <utility>

#include "common/error.h"

namespace vrwkv::data {
namespace {

namespace dom = simdjson::dom;

/// Reads one sample's keys; each error names the file, the line where the sample begins and, once known, its
/// id.
class RecordParser {
 public:
  RecordParser(std::string file, std::int64_t line, std::int64_t index) {
    record_.file = std::move(file);
    record_.line = line;
    record_.index = index;
  }

  Record parse(std::string_view text) {
    // Keeps its buffers from sample to sample; what it returns is copied out before the next one.
    thread_local dom::parser parser;
    dom::element element;
    if (const auto failure = parser.parse(text.data(), text.size()).get(element))
      fail(fmt::format("not valid JSON ({}).", simdjson::error_message(failure)));
    dom::object object;
    if (element.get(object) != simdjson::SUCCESS) fail("not an object.");
    for (const auto& [key, value] : object) remember(key, value);
    read_id();
    read_images();
    read_turns();
    if (kind_) record_.kind = text_of(*kind_, "kind");
    if (chance_ && chance_->get(record_.chance) != simdjson::SUCCESS) fail_type("chance", "a number");
    return std::move(record_);
  }

 private:
  /// Of a repeated key the last counts, as in Python.
  void remember(std::string_view key, dom::element value) {
    if (key == "id") id_ = value;
    if (key == "sample_id") sample_id_ = value;
    if (key == "image") image_ = value;
    if (key == "conversations") conversations_ = value;
    if (key == "kind") kind_ = value;
    if (key == "chance") chance_ = value;
  }

  void read_id() {
    const auto value = sample_id_ ? sample_id_ : id_;
    if (!value) fail("key 'id' is missing (messages name samples by it).");
    if (std::uint64_t number; value->get(number) == simdjson::SUCCESS) {
      record_.id = std::to_string(number);
    } else if (std::int64_t negative; value->get(negative) == simdjson::SUCCESS) {
      record_.id = std::to_string(negative);
    } else if (value->is_string()) {
      record_.id = text_of(*value, "id");
    } else {
      fail_type(sample_id_ ? "sample_id" : "id", "a string or an integer");
    }
  }

  void read_images() {
    if (!image_ || image_->is_null()) return;
    record_.has_image = true;
    dom::array images;
    if (image_->is_string()) {
      record_.images.push_back(text_of(*image_, "image"));
    } else if (image_->get(images) == simdjson::SUCCESS) {
      for (const dom::element image : images) record_.images.push_back(text_of(image, "image"));
    } else {
      fail_type("image", "a string or a list of strings");
    }
  }

  void read_turns() {
    if (!conversations_) fail("key 'conversations' is missing (there is nothing to train on).");
    dom::array turns;
    if (conversations_->get(turns) != simdjson::SUCCESS)
      fail_type("conversations", "a list of {from, value}");
    for (const dom::element element : turns) {
      dom::object turn;
      if (element.get(turn) != simdjson::SUCCESS) fail_type("conversations", "a list of {from, value}");
      std::optional<dom::element> from, value;
      for (const auto& [key, content] : turn) {
        if (key == "from") from = content;
        if (key == "value") value = content;
      }
      if (!from) fail(fmt::format("key 'from' is missing in turn {}.", record_.turns.size() + 1));
      if (!value) fail(fmt::format("key 'value' is missing in turn {}.", record_.turns.size() + 1));
      record_.turns.push_back({text_of(*from, "from"), text_of(*value, "value")});
    }
  }

  std::string text_of(dom::element element, std::string_view key) const {
    std::string_view text;
    if (element.get(text) != simdjson::SUCCESS) fail_type(key, "a string");
    return std::string(text);
  }

  [[noreturn]] void fail_type(std::string_view key, std::string_view expected) const {
    fail(fmt::format("key '{}' is not {}.", key, expected));
  }
  [[noreturn]] void fail(const std::string& message) const {
    throw DataError(
        "{}:{}: sample {}: {}", record_.file, record_.line,
        record_.id.empty() ? fmt::format("at index {}", record_.index) : fmt::format("'{}'", record_.id),
        message);
  }

  Record record_;
  std::optional<dom::element> id_, sample_id_, image_, conversations_, kind_, chance_;
};

}  // namespace

Record parse_record(std::string_view text, const std::string& file, std::int64_t line, std::int64_t index) {
  return RecordParser(file, line, index).parse(text);
}

}  // namespace vrwkv::data
