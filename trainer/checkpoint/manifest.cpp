// SPDX-License-Identifier: Apache-2.0
#include "trainer/checkpoint/manifest.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "common/crc32c.h"
#include "common/error.h"

namespace vrwkv::checkpoint {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "vrwkv-dist checkpoint";

std::string hexadecimal(std::uint32_t value) { return fmt::format("{:08x}", value); }

std::uint32_t from_hexadecimal(const std::string& text) {
  return static_cast<std::uint32_t>(std::stoul(text, nullptr, 16));
}

Json to_json(const TensorEntry& tensor) {
  Json json{{"name", tensor.name},
            {"shape", tensor.shape},
            {"numel", tensor.numel},
            {"trainable", tensor.trainable}};
  if (tensor.trainable) json["offset"] = tensor.offset;
  return json;
}

Json to_json(const FileEntry& file) {
  Json json{{"name", file.name}, {"bytes", file.bytes}, {"crc32c", hexadecimal(file.crc32c)}};
  if (file.shard >= 0) json.update({{"shard", file.shard}, {"begin", file.begin}, {"end", file.end}});
  return json;
}

TensorEntry tensor_from(const Json& json) {
  return {.name = json.at("name"),
          .shape = json.at("shape"),
          .numel = json.at("numel"),
          .trainable = json.at("trainable"),
          .offset = json.value("offset", std::int64_t{0})};
}

FileEntry file_from(const Json& json) {
  return {.name = json.at("name"),
          .bytes = json.at("bytes"),
          .crc32c = from_hexadecimal(json.at("crc32c")),
          .shard = json.value("shard", std::int64_t{-1}),
          .begin = json.value("begin", std::int64_t{0}),
          .end = json.value("end", std::int64_t{0})};
}

Manifest manifest_from(const Json& json) {
  Manifest manifest;
  manifest.format_version = json.at("format_version");
  manifest.program_version = json.at("program_version");
  manifest.state = {.step = json.at("step"),
                    .data_position = json.at("data_position"),
                    .metrics_rows = json.at("metrics_rows"),
                    .bad_samples = json.at("bad_samples"),
                    .quarantine_crc32c = from_hexadecimal(json.value("quarantine_crc32c", "0")),
                    .config_toml = json.at("config")};
  manifest.world_size = json.at("world_size");
  manifest.frozen_crc32c = from_hexadecimal(json.at("frozen_crc32c"));
  for (const Json& tensor : json.at("tensors")) manifest.tensors.push_back(tensor_from(tensor));
  for (const Json& file : json.at("files")) manifest.files.push_back(file_from(file));
  return manifest;
}

/// The end of the text. It has one form only, so that no byte of it can change unnoticed either.
std::string checksum_line(std::string_view body) {
  return fmt::format(",\n \"crc32c\": \"{}\"\n}}\n", hexadecimal(crc32c(body.data(), body.size())));
}

}  // namespace

std::vector<FileEntry> Manifest::shards() const {
  std::vector<FileEntry> result;
  std::copy_if(files.begin(), files.end(), std::back_inserter(result),
               [](const FileEntry& f) { return f.shard >= 0; });
  return result;
}

const FileEntry* Manifest::find_file(std::string_view name) const noexcept {
  for (const FileEntry& file : files)
    if (file.name == name) return &file;
  return nullptr;
}

std::uint64_t Manifest::bytes() const noexcept {
  std::uint64_t total = 0;
  for (const FileEntry& file : files) total += file.bytes;
  return total;
}

std::string to_json(const Manifest& manifest) {
  Json json{{"format", kFormat},
            {"format_version", manifest.format_version},
            {"program_version", manifest.program_version},
            {"step", manifest.state.step},
            {"data_position", manifest.state.data_position},
            {"metrics_rows", manifest.state.metrics_rows},
            {"bad_samples", manifest.state.bad_samples},
            {"quarantine_crc32c", hexadecimal(manifest.state.quarantine_crc32c)},
            {"world_size", manifest.world_size},
            {"frozen_crc32c", hexadecimal(manifest.frozen_crc32c)},
            {"files", Json::array()},
            {"tensors", Json::array()},
            {"config", manifest.state.config_toml}};
  for (const FileEntry& file : manifest.files) json["files"].push_back(to_json(file));
  for (const TensorEntry& tensor : manifest.tensors) json["tensors"].push_back(to_json(tensor));
  // A path in the configuration may be no UTF-8; JSON must be.
  std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace);
  text.resize(text.size() - std::string_view("\n}").size());
  return text + checksum_line(text);
}

Manifest parse_manifest(std::string_view text) {
  const std::size_t tail = checksum_line("").size();
  const std::string_view body = text.substr(0, text.size() < tail ? 0 : text.size() - tail);
  if (text.substr(body.size()) != checksum_line(body))
    throw CheckpointError(
        "manifest.json has other bytes than at the commit (its own checksum does not match)");
  try {
    const Json json = Json::parse(text);
    if (json.at("format") != kFormat || json.at("format_version") != kFormatVersion)
      throw CheckpointError("manifest.json is of format version {} (this program reads {})",
                            json.at("format_version").dump(), kFormatVersion);
    return manifest_from(json);
  } catch (const Json::exception& error) {
    throw CheckpointError("manifest.json is not what this program writes ({})", error.what());
  }
}

}  // namespace vrwkv::checkpoint
