// SPDX-License-Identifier: Apache-2.0
#include "common/toml_reader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "common/error.h"
#include "common/file_system.h"
#include "common/nearest_name.h"

#define TOML_ENABLE_FORMATTERS 1
#include <toml++/toml.h>

namespace vrwkv {

struct TomlDocument::Content {
  toml::table root;
  std::filesystem::path file;
  std::vector<std::string> set_keys;  // full names that --set gave
  std::vector<ResolvedKey> resolved;

  bool was_set(const std::string& name) const {
    return std::find(set_keys.begin(), set_keys.end(), name) != set_keys.end();
  }
};

namespace {

const toml::table* as_table(const void* table) { return static_cast<const toml::table*>(table); }

template <class Value>
std::string to_toml(const Value& value) {
  std::ostringstream stream;
  stream << toml::value<Value>(value);
  return stream.str();
}

/// The shortest text that reads back to the same number.
std::string to_toml(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

template <class Value>
std::string to_toml(const std::vector<Value>& values) {
  toml::array array;
  for (const auto& value : values) array.push_back(value);
  std::ostringstream stream;
  stream << array;
  return stream.str();
}

toml::table parse_value(const std::string& text) {
  try {
    return toml::parse("value = " + text);
  } catch (const toml::parse_error&) {
    toml::table quoted;
    quoted.insert("value", text);
    return quoted;
  }
}

/// Puts parsed["value"] at the dotted `name`, making the tables on the way.
void insert_at(toml::table& root, const std::string& name, toml::table parsed) {
  toml::table* table = &root;
  std::size_t begin = 0;
  for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', begin)) {
    const std::string part = name.substr(begin, dot - begin);
    if (!table->contains(part)) table->insert(part, toml::table{});
    table = table->get(part)->as_table();
    if (table == nullptr) throw ConfigError("--set {}: '{}' is not a table.", name, name.substr(0, dot));
    begin = dot + 1;
  }
  table->insert_or_assign(name.substr(begin), *parsed.get("value"));
}

void apply_setting(toml::table& root, std::vector<std::string>& set_keys, const std::string& setting) {
  const std::size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0)
    throw ConfigError(
        "--set {}: is not table.key=value (nothing was set). Write it as --set table.key=value.", setting);
  insert_at(root, setting.substr(0, equals), parse_value(setting.substr(equals + 1)));
  set_keys.push_back(setting.substr(0, equals));
}

}  // namespace

TomlDocument::TomlDocument(std::unique_ptr<Content> content) : content_(std::move(content)) {}
TomlDocument::TomlDocument(TomlDocument&&) noexcept = default;
TomlDocument& TomlDocument::operator=(TomlDocument&&) noexcept = default;
TomlDocument::~TomlDocument() = default;

TomlDocument TomlDocument::load(const std::filesystem::path& file, const std::vector<std::string>& settings) {
  std::error_code failure;
  if (!std::filesystem::is_regular_file(file, failure))
    throw ConfigError("{}: no such configuration file. Name an existing .toml file.", file.string());
  return parse(read_file(file), file, settings);
}

TomlDocument TomlDocument::parse(std::string_view text, const std::filesystem::path& name,
                                 const std::vector<std::string>& settings) {
  auto content = std::make_unique<Content>();
  content->file = name;
  try {
    content->root = toml::parse(text, name.string());
  } catch (const toml::parse_error& failure) {
    throw ConfigError("{}:{}: not valid TOML: {}", name.string(), failure.source().begin.line,
                      std::string(failure.description()));
  }
  for (const auto& setting : settings) apply_setting(content->root, content->set_keys, setting);
  return TomlDocument(std::move(content));
}

void TomlDocument::set(const std::string& name, const std::string& value) {
  toml::table quoted;
  quoted.insert("value", value);
  insert_at(content_->root, name, std::move(quoted));
  content_->set_keys.push_back(name);
}

TomlReader TomlDocument::root() { return {content_.get(), &content_->root, ""}; }

const std::vector<ResolvedKey>& TomlDocument::resolved() const { return content_->resolved; }

std::string TomlDocument::resolved_toml() const {
  // Keys of one table stay together, tables in the order in which they were first read.
  std::vector<std::string> tables;
  const auto table_of = [](const ResolvedKey& key) { return key.name.substr(0, key.name.rfind('.')); };
  for (const auto& key : content_->resolved)
    if (std::find(tables.begin(), tables.end(), table_of(key)) == tables.end())
      tables.push_back(table_of(key));
  std::string text;
  for (const auto& table : tables) {
    const std::string element = table.substr(0, table.find('['));  // "x[0]" is one of [[x]]
    text += fmt::format(fmt::runtime(element == table ? "{}[{}]\n" : "{}[[{}]]\n"), text.empty() ? "" : "\n",
                        element);
    for (const auto& key : content_->resolved)
      if (table_of(key) == table)
        text += fmt::format("{} = {}\n", key.name.substr(table.size() + 1), key.value);
  }
  return text;
}

std::string TomlDocument::as_json() const {
  std::ostringstream stream;
  stream << toml::json_formatter(content_->root);
  return stream.str();
}

TomlReader::TomlReader(TomlDocument::Content* content, const void* table, std::string name)
    : content_(content), table_(table), name_(std::move(name)) {}

std::string TomlReader::full_name(std::string_view key) const {
  return name_.empty() ? std::string(key) : name_ + "." + std::string(key);
}

void TomlReader::record(std::string_view key, std::string value, bool is_path) const {
  content_->resolved.push_back({full_name(key), std::move(value), is_path});
}

const void* TomlReader::find(std::string_view key) {
  known_.emplace_back(key);
  return table_ == nullptr ? nullptr : as_table(table_)->get(key);
}

bool TomlReader::has(std::string_view key) const {
  return table_ != nullptr && as_table(table_)->contains(key);
}

void TomlReader::fail(std::string_view key, const std::string& message) const {
  const toml::node* node = table_ == nullptr ? nullptr : as_table(table_)->get(key);
  std::string where = content_->file.string();
  if (content_->was_set(full_name(key))) {
    where = "--set " + full_name(key);
  } else if (node != nullptr) {
    where += fmt::format(":{}", node->source().begin.line);
  } else if (table_ != nullptr && as_table(table_)->source().begin.line > 0) {
    where += fmt::format(":{}", as_table(table_)->source().begin.line);
  }
  throw ConfigError("{}: key '{}': {}", where, full_name(key), message);
}

void TomlReader::fail_type(std::string_view key, std::string_view expected) const {
  const toml::node* node = table_ == nullptr ? nullptr : as_table(table_)->get(key);
  if (node == nullptr) {
    // Rather point at the misspelt key than at the one that it should be.
    const std::size_t misspelt = std::max<std::size_t>(2, key.size() / 3);
    for (const std::string& unknown : unknown_keys())
      if (edit_distance(unknown, key) <= misspelt) fail_unknown(unknown, std::string(key));
    fail(key, fmt::format("is missing ({} is required). Add it.", expected));
  }
  std::ostringstream type;
  type << node->type();
  fail(key, fmt::format("is a TOML {} but {} is expected.", type.str(), expected));
}

std::string TomlReader::text(std::string_view key, std::optional<std::string> fallback) {
  const auto* node = static_cast<const toml::node*>(find(key));
  std::string value;
  if (node == nullptr && fallback) {
    value = *fallback;
  } else if (node != nullptr && node->is_string()) {
    value = *node->value<std::string>();
  } else {
    fail_type(key, "a string");
  }
  record(key, to_toml(value));
  return value;
}

std::string TomlReader::one_of(std::string_view key, const std::vector<std::string>& choices,
                               std::optional<std::string> fallback) {
  std::string value = text(key, std::move(fallback));
  if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
    const std::string near = nearest_name(value, choices);
    fail(key, fmt::format("'{}' is none of {}.{}", value, fmt::format("{}", to_toml(choices)),
                          near.empty() ? "" : fmt::format(" Did you mean '{}'?", near)));
  }
  return value;
}

std::filesystem::path TomlReader::path(std::string_view key, std::optional<std::filesystem::path> fallback) {
  const auto* node = static_cast<const toml::node*>(find(key));
  std::filesystem::path value;
  if (node == nullptr && fallback) {
    value = *fallback;
  } else if (node != nullptr && node->is_string()) {
    value = *node->value<std::string>();
  } else {
    fail_type(key, "a path (a string)");
  }
  value = from_file(value);
  record(key, to_toml(value.string()), /*is_path=*/true);
  return value;
}

std::filesystem::path TomlReader::from_file(std::filesystem::path path) const {
  if (!path.empty() && path.is_relative())
    path = std::filesystem::absolute(content_->file).parent_path() / path;
  return path.lexically_normal();
}

std::vector<std::filesystem::path> TomlReader::paths(std::string_view key,
                                                     const std::vector<std::filesystem::path>& fallback) {
  const auto* node = static_cast<const toml::node*>(find(key));
  std::vector<std::string> values;
  const auto add = [&](const toml::node& one) {
    if (!one.is_string()) fail_type(key, "a path (a string), or an array of paths,");
    if (const auto path = from_file(*one.value<std::string>()); !path.empty())
      values.push_back(path.string());
  };
  if (node == nullptr) {
    for (const auto& path : fallback) values.push_back(path.string());
  } else if (node->is_array()) {
    for (const auto& element : *node->as_array()) add(element);
  } else {
    add(*node);
  }
  record(key, values.size() > 1 ? to_toml(values) : to_toml(values.empty() ? std::string() : values.front()),
         /*is_path=*/true);
  return {values.begin(), values.end()};
}

std::int64_t TomlReader::integer(std::string_view key, std::int64_t least, std::int64_t most,
                                 std::optional<std::int64_t> fallback) {
  const auto* node = static_cast<const toml::node*>(find(key));
  if (node == nullptr && !fallback) fail_type(key, "an integer");
  if (node != nullptr && !node->is_integer()) fail_type(key, "an integer");
  const std::int64_t value = node == nullptr ? *fallback : *node->value<std::int64_t>();
  if (value < least || value > most)
    fail(key, fmt::format("{} is out of range (it must be from {} to {}).", value, least, most));
  record(key, to_toml(value));
  return value;
}

double TomlReader::number(std::string_view key, double least, double most, std::optional<double> fallback) {
  const auto* node = static_cast<const toml::node*>(find(key));
  if (node == nullptr && !fallback) fail_type(key, "a number");
  if (node != nullptr && !node->is_number()) fail_type(key, "a number");
  const double value = node == nullptr ? *fallback : *node->value<double>();
  if (!std::isfinite(value) || value < least || value > most)
    fail(key, fmt::format("{} is out of range (it must be from {} to {}).", value, least, most));
  record(key, to_toml(value));
  return value;
}

bool TomlReader::boolean(std::string_view key, std::optional<bool> fallback) {
  const auto* node = static_cast<const toml::node*>(find(key));
  if (node == nullptr && !fallback) fail_type(key, "true or false");
  if (node != nullptr && !node->is_boolean()) fail_type(key, "true or false");
  const bool value = node == nullptr ? *fallback : *node->value<bool>();
  record(key, to_toml(value));
  return value;
}

std::vector<std::int64_t> TomlReader::integers(std::string_view key, std::int64_t least, std::int64_t most,
                                               std::optional<std::vector<std::int64_t>> fallback) {
  const auto* node = static_cast<const toml::node*>(find(key));
  if (node == nullptr && !fallback) fail_type(key, "an array of integers");
  std::vector<std::int64_t> values = fallback.value_or(std::vector<std::int64_t>{});
  if (node != nullptr) {
    if (!node->is_array()) fail_type(key, "an array of integers");
    values.clear();
    for (const auto& element : *node->as_array()) {
      if (!element.is_integer()) fail(key, "holds something that is not an integer.");
      values.push_back(*element.value<std::int64_t>());
    }
  }
  for (const std::int64_t value : values)
    if (value < least || value > most)
      fail(key, fmt::format("{} is out of range (it must be from {} to {}).", value, least, most));
  record(key, to_toml(values));
  return values;
}

std::vector<std::string> TomlReader::texts(std::string_view key, const std::vector<std::string>& choices,
                                           std::optional<std::vector<std::string>> fallback) {
  const auto* node = static_cast<const toml::node*>(find(key));
  if (node == nullptr && !fallback) fail_type(key, "an array of strings");
  std::vector<std::string> values = fallback.value_or(std::vector<std::string>{});
  if (node != nullptr) {
    if (!node->is_array()) fail_type(key, "an array of strings");
    values.clear();
    for (const auto& element : *node->as_array()) {
      if (!element.is_string()) fail(key, "holds something that is not a string.");
      values.push_back(*element.value<std::string>());
    }
  }
  for (const auto& value : values)
    if (std::find(choices.begin(), choices.end(), value) == choices.end())
      fail(key, fmt::format("'{}' is none of {}.", value, to_toml(choices)));
  record(key, to_toml(values));
  return values;
}

TomlReader TomlReader::table(std::string_view key) {
  const auto* node = static_cast<const toml::node*>(find(key));
  if (node != nullptr && !node->is_table()) fail_type(key, "a table");
  return {content_, node == nullptr ? nullptr : node->as_table(), full_name(key)};
}

std::vector<TomlReader> TomlReader::tables(std::string_view key) {
  const auto* node = static_cast<const toml::node*>(find(key));
  std::vector<TomlReader> tables;
  if (node == nullptr) return tables;
  if (!node->is_array()) fail_type(key, "an array of tables");
  for (const auto& element : *node->as_array()) {
    if (!element.is_table()) fail_type(key, "an array of tables");
    tables.push_back(
        TomlReader(content_, element.as_table(), fmt::format("{}[{}]", full_name(key), tables.size())));
  }
  return tables;
}

void TomlReader::reject_unknown_keys() const {
  for (const std::string& key : unknown_keys()) fail_unknown(key, nearest_name(key, known_));
}

std::vector<std::string> TomlReader::unknown_keys() const {
  std::vector<std::string> unknown;
  if (table_ == nullptr) return unknown;
  for (const auto& [key, node] : *as_table(table_))
    if (std::find(known_.begin(), known_.end(), key.str()) == known_.end()) unknown.emplace_back(key.str());
  return unknown;
}

void TomlReader::fail_unknown(const std::string& key, const std::string& near) const {
  const auto line = as_table(table_)->find(key)->first.source().begin.line;  // 0: of a table that --set made
  std::string where = fmt::format("{}:{}", content_->file.string(), line);
  for (const std::string& set : content_->set_keys)
    if (set == full_name(key) || (line == 0 && set.starts_with(full_name(key) + "."))) where = "--set " + set;
  throw ConfigError("{}: unknown key '{}' (a misspelt key would train with the default). {}", where,
                    full_name(key),
                    near.empty() ? fmt::format("There are: {}.", fmt::join(known_, ", "))
                                 : fmt::format("Did you mean '{}'?", near));
}

}  // namespace vrwkv
