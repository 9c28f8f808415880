// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vrwkv {

/// One key as the program understood it: what the file said, or the default.
struct ResolvedKey {
  std::string name;      ///< "table.key"
  std::string value;     ///< as TOML
  bool is_path = false;  ///< where something lies, not what is computed
  bool operator==(const ResolvedKey&) const = default;
};

class TomlReader;

/// A configuration file with `--set` applied. Reading it is strict: whoever reads a table reads every key
/// once with its range and then calls reject_unknown_keys(). What was read is remembered, defaults included,
/// in reading order.
class TomlDocument {
 public:
  /// @param settings  "table.key=value"; a value that is not TOML counts as a string.
  /// @throws ConfigError with file and line when the file is missing or is not TOML, or a setting has no '='.
  static TomlDocument load(const std::filesystem::path& file, const std::vector<std::string>& settings = {});
  /// The same from text; `name` stands in for the file in messages, its folder for the file's.
  static TomlDocument parse(std::string_view text, const std::filesystem::path& name,
                            const std::vector<std::string>& settings = {});
  TomlDocument(TomlDocument&&) noexcept;
  TomlDocument& operator=(TomlDocument&&) noexcept;
  ~TomlDocument();

  /// Sets one key as `--set` does, to a string.
  void set(const std::string& name, const std::string& value);

  TomlReader root();
  const std::vector<ResolvedKey>& resolved() const;
  /// What was read as a TOML file that reads back to the same values.
  std::string resolved_toml() const;
  /// The whole document, read or not, as one JSON object of tables.
  std::string as_json() const;

 private:
  friend class TomlReader;
  struct Content;
  explicit TomlDocument(std::unique_ptr<Content> content);
  std::unique_ptr<Content> content_;
};

/// A view of one table of a TomlDocument (which must outlive it). Every accessor with a default makes the key
/// optional. All @throw ConfigError "file:line: what is wrong" on a missing key, another type, or a value out
/// of range.
class TomlReader {
 public:
  std::string text(std::string_view key, std::optional<std::string> fallback = {});
  std::string one_of(std::string_view key, const std::vector<std::string>& choices,
                     std::optional<std::string> fallback = {});
  /// A file or folder; a relative one is relative to the configuration file. "" stays "" (none).
  std::filesystem::path path(std::string_view key, std::optional<std::filesystem::path> fallback = {});
  /// One, or an array of them; "" stays none.
  std::vector<std::filesystem::path> paths(std::string_view key,
                                           const std::vector<std::filesystem::path>& fallback);
  std::int64_t integer(std::string_view key, std::int64_t least, std::int64_t most,
                       std::optional<std::int64_t> fallback = {});
  /// Any finite number in [least, most].
  double number(std::string_view key, double least, double most, std::optional<double> fallback = {});
  bool boolean(std::string_view key, std::optional<bool> fallback = {});
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t least, std::int64_t most,
                                     std::optional<std::vector<std::int64_t>> fallback = {});
  /// Each element is one of `choices`.
  std::vector<std::string> texts(std::string_view key, const std::vector<std::string>& choices,
                                 std::optional<std::vector<std::string>> fallback = {});
  /// A sub-table; where the file has none, an empty one whose keys all take their defaults.
  TomlReader table(std::string_view key);
  /// An array of tables, [[key]]; where the file has none, no table. Element i is read as "key[i]".
  std::vector<TomlReader> tables(std::string_view key);
  /// Whether the file (or --set) has this key; does not count as reading it.
  bool has(std::string_view key) const;

  /// To be called after the last key of the table. @throws ConfigError naming the first key nobody read and
  /// the nearest one that exists.
  void reject_unknown_keys() const;
  /// Throws ConfigError "file:line: key 'table.key': message".
  [[noreturn]] void fail(std::string_view key, const std::string& message) const;

 private:
  friend class TomlDocument;
  TomlReader(TomlDocument::Content* content, const void* table, std::string name);
  const void* find(std::string_view key);
  std::string full_name(std::string_view key) const;
  std::filesystem::path from_file(std::filesystem::path path) const;
  void record(std::string_view key, std::string value, bool is_path = false) const;
  [[noreturn]] void fail_type(std::string_view key, std::string_view expected) const;
  [[noreturn]] void fail_unknown(const std::string& key, const std::string& near) const;
  std::vector<std::string> unknown_keys() const;

  TomlDocument::Content* content_;
  const void* table_;               ///< toml::table, or null for an absent one
  std::string name_;                ///< "" for the root
  std::vector<std::string> known_;  ///< keys read so far
};

}  // namespace vrwkv
