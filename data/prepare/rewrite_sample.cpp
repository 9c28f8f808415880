// SPDX-License-Identifier: Apache-2.0
#include "data/prepare/rewrite_sample.h"

#include <fmt/core.h>
#include <simdjson.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/text/json_array.h"

namespace vrwkv::data {
namespace {

/// A member of a JSON object.
struct Member {
  std::string_view key_json;  ///< with its quotes
  std::string key;
  std::string_view value;
};

/// What stands between the commas of an array or object without white space.
std::vector<std::string_view> items_of(std::string_view container) {
  std::vector<std::string_view> items;
  std::size_t begin = 1, depth = 0;
  for (std::size_t i = 1; i < container.size(); ++i) {
    const char character = container[i];
    if (character == '"') {
      i = end_of_json_string(container, i);
    } else if (character == '{' || character == '[') {
      ++depth;
    } else if (depth > 0 && (character == '}' || character == ']')) {
      --depth;
    } else if (depth == 0 && (character == ',' || character == '}' || character == ']')) {
      if (i > begin) items.push_back(container.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  return items;
}

/// The text of a JSON string.
std::string decoded(std::string_view json) {
  if (json.find('\\') == std::string_view::npos) return std::string(json.substr(1, json.size() - 2));
  thread_local simdjson::dom::parser parser;
  return std::string(parser.parse(json.data(), json.size()).get_string().value());
}

std::vector<Member> members_of(std::string_view object) {
  std::vector<Member> members;
  for (const std::string_view item : items_of(object)) {
    const std::string_view key = item.substr(0, end_of_json_string(item, 0) + 1);
    members.push_back({key, decoded(key), item.substr(key.size() + 1)});
  }
  return members;
}

/// Of a repeated key the last counts. "" when there is none.
std::string_view value_of(const std::vector<Member>& members, std::string_view key) {
  std::string_view value;
  for (const Member& member : members)
    if (member.key == key) value = member.value;
  return value;
}

/// What a text is between the quotes of a JSON string.
std::string escaped(const std::string& text) {
  const std::string json = nlohmann::json(text).dump();
  return json.substr(1, json.size() - 2);
}

std::string_view inside(std::string_view json_string) {
  return json_string.substr(1, json_string.size() - 2);
}

std::string question_json(std::string_view turn, const PlannedRound& round) {
  if (round.before.empty() && round.behind.empty()) return std::string(turn);
  const std::vector<Member> members = members_of(turn);
  std::string json;
  for (const Member& member : members) {
    json.append(json.empty() ? "{" : ",").append(member.key_json).append(":");
    if (member.key == "value") {
      json.append("\"").append(escaped(round.before)).append(inside(value_of(members, "value")));
      json.append(escaped(round.behind)).append("\"");
    } else {
      json.append(member.value);
    }
  }
  return json + "}";
}

std::string conversations_json(std::string_view conversations, const SamplePart& part) {
  const std::vector<std::string_view> turns = items_of(conversations);
  std::string json;
  for (const PlannedRound& round : part.rounds) {
    json.append(json.empty() ? "[" : ",").append(question_json(turns.at(round.question), round));
    json.append(",").append(turns.at(round.question + 1));
  }
  return json + "]";
}

/// "" when the part has no image but the sample had.
std::string image_json(std::string_view image, std::size_t images) {
  const bool is_list = image.front() == '[';
  const std::vector<std::string_view> all = is_list ? items_of(image) : std::vector{image};
  if (image == "null" || images == all.size()) return std::string(image);
  std::string json;
  for (std::size_t i = 0; i < images; ++i) json.append(i == 0 ? "[" : ",").append(all.at(i));
  return json.empty() ? json : json + "]";
}

/// parse_record() asks for a text or a number only in the one that names the sample.
std::string id_json(std::string_view id, std::string_view suffix) {
  const bool is_text = id.front() == '"';
  const bool is_number = id.front() == '-' || (id.front() >= '0' && id.front() <= '9');
  if (!is_text && !is_number) return std::string(id);
  return fmt::format("\"{}{}\"", is_text ? inside(id) : id, suffix);
}

}  // namespace

std::string without_spaces(std::string_view text) {
  std::string json(text.size() + simdjson::SIMDJSON_PADDING, '\0');
  std::size_t bytes = 0;
  if (simdjson::minify(text.data(), text.size(), json.data(), bytes) != simdjson::SUCCESS)
    throw std::logic_error("without_spaces: not JSON");
  json.resize(bytes);
  return json;
}

std::string rewrite_sample(std::string_view text, const SamplePart& part, std::string_view id_suffix) {
  const std::string sample = without_spaces(text);
  const std::vector<Member> members = members_of(sample);
  std::string json;
  for (const Member& member : members) {
    std::string value(member.value);
    if (member.key == "conversations")
      value = conversations_json(value_of(members, "conversations"), part);
    else if (member.key == "image")
      value = image_json(value_of(members, "image"), part.images);
    else if (!id_suffix.empty() && (member.key == "id" || member.key == "sample_id"))
      value = id_json(member.value, id_suffix);
    if (value.empty()) continue;
    json.append(json.empty() ? "{" : ",").append(member.key_json).append(":").append(value);
  }
  return json + "}";
}

}  // namespace vrwkv::data
