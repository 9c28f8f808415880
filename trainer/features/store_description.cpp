// SPDX-License-Identifier: Apache-2.0
#include "trainer/features/store_description.h"

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/file_system.h"

namespace vrwkv::trainer {
namespace {

std::filesystem::path description_path(const std::filesystem::path& folder) { return folder / "store.json"; }

}  // namespace

std::optional<StoreDescription> read_description(const std::filesystem::path& folder) {
  const auto path = description_path(folder);
  if (!std::filesystem::exists(path)) return {};
  try {
    const auto json = nlohmann::json::parse(read_file(path));
    StoreDescription description;
    description.key = json.at("key").get<FeatureKey>();
    description.shape = {.tokens = json.at("tokens").get<std::int64_t>(),
                         .width = json.at("width").get<std::int64_t>(),
                         .type = feature_type_of(json.at("type").get<std::string>())};
    description.images = json.at("images").get<std::int64_t>();
    description.images_per_shard = json.at("images_per_shard").get<std::int64_t>();
    constexpr std::int64_t kMost = std::int64_t{1} << 40;
    for (const std::int64_t size : {description.shape.tokens, description.shape.width,
                                    description.images_per_shard, description.images + 1})
      if (size < 1 || size > kMost) throw ConfigError("a size is {}", size);
    return description;
  } catch (const std::exception& error) {
    throw Error(ExitCode::kDataRefused,
                fmt::format("{}: is not a feature store's description ({}). Delete the folder, and run `data "
                            "features` again.",
                            path.string(), error.what()));
  }
}

void write_description(const std::filesystem::path& folder, const StoreDescription& description) {
  const nlohmann::ordered_json json = {{"tokens", description.shape.tokens},
                                       {"width", description.shape.width},
                                       {"type", name_of(description.shape.type)},
                                       {"images", description.images},
                                       {"images_per_shard", description.images_per_shard},
                                       {"key", description.key}};
  write_file_atomically(description_path(folder), json.dump(1) + "\n");
}

std::filesystem::path shard_path(const std::filesystem::path& folder, std::int64_t shard) {
  return folder / fmt::format("shard-{:05}.h5", shard);
}

}  // namespace vrwkv::trainer
