// SPDX-License-Identifier: Apache-2.0
#include "trainer/import_weights.h"

#include <algorithm>
#include <limits>

#include "common/error.h"
#include "sharding/mpi_collectives.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/load_model.h"

namespace vrwkv::trainer {

ImportReport import_weights(const std::vector<std::filesystem::path>& files,
                            const std::vector<std::string>& settings, std::uint64_t seed,
                            const std::filesystem::path& folder, const mpi::Communicator& alone) {
  if (std::filesystem::is_directory(folder) && !checkpoint::list(folder).empty())
    throw ConfigError(
        "{}: holds a checkpoint already (it would be mistaken for this one). Choose another --output.",
        folder.string());
  const WeightSource source = open_published_weights(files);
  const TrainerConfig config = infer_config(source, settings);
  const model::VisualRwkv model = make_model(config.model, source, seed);

  sharding::MpiCollectives collectives(alone);
  sharding::FlatParameters parameters({});  // nothing trains
  const sharding::ShardedAdamw optimizer(parameters, sharding::ShardLayout(0, 1), collectives);
  const checkpoint::TrainingState state{.step = 0, .config_toml = config.resolved_toml};
  const checkpoint::SaveReport report = checkpoint::save(
      folder, state, parameters, optimizer, model.parameters(), alone, std::numeric_limits<int>::max());
  const bool has_projector = std::any_of(source.table.begin(), source.table.end(),
                                         [](const auto& entry) { return entry.first.starts_with("proj."); });
  return {report.path, config.resolved_toml, config.model.vision.any() && !has_projector};
}

}  // namespace vrwkv::trainer
