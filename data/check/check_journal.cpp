// SPDX-License-Identifier: Apache-2.0
#include "data/check/check_journal.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/file_system.h"

namespace vrwkv::data {
namespace {

using Json = nlohmann::ordered_json;

std::string key_of(const Mixture& mixture, const ImageOptions& options) {
  const MixtureView& view = mixture.view();
  std::string key = fmt::format("{:016x}/{}/{}/{}/{}", mixture.fingerprint(), view.context_length,
                                view.tokens_per_image, view.takes_images, options.accept_truncated);
  for (const Mixture::Part& part : mixture.parts())
    for (const auto& place : part.source.image_folder) key += fmt::format("/{}", place.string());
  return key;
}

/// What is not UTF-8 comes from names on the disk; it becomes U+FFFD.
std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

ChunkFindings findings_of(const Json& line) {
  ChunkFindings result;
  for (const Json& finding : line.at("findings"))
    result.findings.push_back(
        {finding.at("number"), finding.at("kind"), finding.at("bad"), finding.at("message")});
  result.image_sides = line.at("image_sides").get<std::vector<std::int64_t>>();
  result.image_sides.resize(kSideClasses.size());
  return result;
}

/// Whether it is a name that append() gives.
bool is_journal_name(std::string_view name) {
  constexpr std::string_view kPrefix = "done-", kSuffix = ".jsonl";
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return false;
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(kSuffix.size());
  return name.size() >= 4 &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// The files of all ranks. The folder may be anybody's: nothing else in it is read or removed.
std::vector<std::filesystem::path> journal_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (std::filesystem::is_regular_file(entry.symlink_status()) &&
        is_journal_name(entry.path().filename().string()))
      files.push_back(entry.path());
  return files;
}

}  // namespace

CheckJournal::CheckJournal(std::filesystem::path folder, const Mixture& mixture, const ImageOptions& options)
    : folder_(std::move(folder)), key_(text_of(key_of(mixture, options))) {
  vrwkv::create_directories(folder_);
  for (const auto& file : journal_files(folder_)) read(file);
}

void CheckJournal::read(const std::filesystem::path& file) {
  std::istringstream lines(read_file(file));
  for (std::string text; std::getline(lines, text);) {
    const Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    try {
      if (text_of(line.at("of")) == key_) done_[line.at("chunk")] = findings_of(line);
    } catch (const Json::exception&) {
      continue;  // torn: that chunk is checked again
    }
  }
}

void CheckJournal::append(int rank, std::int64_t chunk, const ChunkFindings& findings) const {
  Json list = Json::array();
  for (const Finding& finding : findings.findings)
    list.push_back({{"number", finding.number},
                    {"kind", finding.kind},
                    {"bad", finding.is_bad},
                    {"message", finding.message}});
  const Json line{{"chunk", chunk},
                  {"of", Json::parse(key_)},
                  {"image_sides", findings.image_sides},
                  {"findings", std::move(list)}};
  // A torn line of an earlier run must not swallow this one.
  const std::string text = fmt::format("\n{}\n", text_of(line));
  const std::filesystem::path path = folder_ / fmt::format("done-{:04}.jsonl", rank);
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file || !write_all(file.get(), text))
    throw IoError("{}: cannot be written ({})", path.string(), std::strerror(errno));
}

void CheckJournal::remove() const {
  for (const auto& file : journal_files(folder_)) std::filesystem::remove(file);
}

}  // namespace vrwkv::data
