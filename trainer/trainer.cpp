// SPDX-License-Identifier: Apache-2.0
#include "trainer/trainer.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "common/error.h"
#include "common/file_system.h"
#include "common/log.h"
#include "common/mpi/all_or_none.h"
#include "sharding/grad_norm.h"
#include "sharding/leaf_sums.h"
#include "sharding/reduction_tree.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/open_data.h"
#include "trainer/stop_signal.h"
#include "trainer/weight_source.h"

namespace vrwkv::trainer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Splits 0..micro_batches-1 into contiguous ranges; refuses ranks that would have nothing to do.
sharding::LeafRange leaves_of(const mpi::Communicator& world, std::int64_t micro_batches) {
  if (world.size() > micro_batches)
    throw ConfigError(
        "{} ranks but a step has {} micro-batches (some ranks would have nothing to do). Start at most {} "
        "ranks, or lower [train] micro_batch_size.",
        world.size(), micro_batches, micro_batches);
  return sharding::leaf_range(micro_batches, world.rank(), world.size());
}

/// The model of a new run with its initial parameters, or one of a resumed run, whose parameters are still to
/// be loaded.
model::VisualRwkv make_start(const TrainerConfig& config,
                             const std::optional<std::filesystem::path>& resumed_from) {
  if (resumed_from) return model::VisualRwkv::uninitialized(with_ranks_of(config.model, *resumed_from));
  const WeightSource source = open_initial_weights(config);
  if (!source.empty()) log::information("starting from the parameters of {}", source.where);
  return make_model(config.model, source, config.train.seed);
}

model::VisualRwkv start_model(const TrainerConfig& config, const Compute& compute,
                              const std::optional<std::filesystem::path>& resumed_from) {
  model::VisualRwkv model = make_start(config, resumed_from);
  model.move_to(compute.device, compute.type);
  return model;
}

/// Says what may change from one start of a run to the next, and does change its steps.
void warn_of_other_choices(const TrainerConfig& config, const checkpoint::TrainingState& then,
                           std::uint32_t quarantine_checksum) {
  if (then.quarantine_crc32c != quarantine_checksum)
    log::warning(
        "[data] quarantine leaves out other samples than up to step {}: the next steps are other ones than "
        "without the change",
        then.step);
  const auto before = read_stored_config(then.config_toml, "config.toml").data.on_bad_sample;
  if (before != config.data.on_bad_sample)
    log::warning(
        "[data] on_bad_sample is another one than up to step {}: bad samples of the next steps are "
        "treated in another way than before",
        then.step);
}

}  // namespace

Trainer::Trainer(const TrainerConfig& config, const TrainOptions& options, const Compute& compute,
                 const mpi::Communicator& world)
    : config_(config),
      options_(options),
      compute_(compute),
      world_(world),
      directory_(config.run.directory),
      resumed_from_(mpi::all_or_none(world, "run directory",
                                     [&] {
                                       leaves_of(world, config.train.micro_batches);
                                       return directory_.checkpoint_to_resume(config, options.resume);
                                     })),
      model_(mpi::all_or_none(world, "weights", [&] { return start_model(config, compute, resumed_from_); })),
      parameters_(config.train.trainable.trainable(model_.parameters()),
                  [&](const NamedTensor& parameter) { return model_.rounds(parameter); }),
      layout_(parameters_.numel(), world.size()),
      collectives_(world),
      reducer_(layout_, collectives_, config.train.micro_batches, config.bucket_elements, compute.device),
      optimizer_(parameters_, layout_, collectives_),
      schedule_(model_, parameters_,
                {.recompute = config.train.recompute,
                 .kept_states_bytes = config.train.kept_states_bytes,
                 .l2wrap = config.train.l2wrap}) {
  const std::optional<checkpoint::TrainingState> resumed = load_checkpoint();
  // What stored features were made by shows only in encoders that are there.
  loader_ = open_data(config, model_, directory_, world);
  require_same_data();
  prepare_run_directory();
  if (resumed) warn_of_other_choices(config_, *resumed, loader_->quarantine_checksum());
  model_.cast_frozen();
  frozen_ = config_.train.trainable.frozen(model_.parameters());
  open_records();
}

std::optional<checkpoint::TrainingState> Trainer::load_checkpoint() {
  if (!resumed_from_) return {};
  const auto frozen = config_.train.trainable.frozen(model_.parameters());
  const auto state = checkpoint::load_training(*resumed_from_, parameters_, optimizer_, frozen, world_);
  completed_steps_ = state.step;
  position_ = state.data_position;
  bad_samples_ = state.bad_samples;
  return state;
}

void Trainer::require_same_data() const {
  mpi::all_or_none(world_, "data", [&] {
    if (!resumed_from_ || world_.rank() != 0) return;
    const auto ledger = directory_.written_before(directory_.ledger(), *resumed_from_);
    if (std::filesystem::exists(ledger)) data::require_header(ledger, loader_->header_of_ledger());
  });
}

void Trainer::prepare_run_directory() {
  mpi::all_or_none(world_, "run directory", [&] {
    if (world_.rank() == 0) directory_.prepare(config_);
  });
  mpi::all_or_none(world_, "log", [&] { log::open_file(directory_.log()); });
}

void Trainer::open_records() {
  if (resumed_from_)
    log::information("resuming after step {} from {}", completed_steps_, resumed_from_->string());
  mpi::all_or_none(world_, "metrics", [&] {
    if (world_.rank() != 0) return;
    if (resumed_from_)
      for (const auto& file : {directory_.metrics(), directory_.ledger(), directory_.quarantine()})
        if (const auto before = directory_.written_before(file, *resumed_from_); before != file)
          std::filesystem::copy_file(before, file, std::filesystem::copy_options::overwrite_existing);
    metrics_.emplace(directory_.metrics(), completed_steps_);
    if (resumed_from_) directory_.abandon_checkpoints_after(completed_steps_);
    std::filesystem::remove(directory_.requeue_marker());
  });
  mpi::all_or_none(world_, "ledger",
                   [&] { accounts_.emplace(directory_, *loader_, completed_steps_, world_); });
}

TrainSummary Trainer::run() {
  const std::int64_t last_step =
      std::min(config_.train.steps, options_.max_steps.value_or(config_.train.steps));
  TrainSummary summary;
  summary.step = completed_steps_;
  summary.checkpoint = resumed_from_;
  if (metrics_) summary.first_loss = metrics_->first_loss();
  if (completed_steps_ >= last_step) return summary;

  std::optional<Progress> progress;
  if (world_.rank() == 0) progress.emplace(completed_steps_ + 1, last_step);
  for (std::int64_t number = completed_steps_ + 1; number <= last_step; ++number) {
    log::set_step(number);
    StepMetrics metrics = step(number);
    const bool stop = agree(metrics);
    completed_steps_ = number;
    if (metrics_) {
      metrics_->append(metrics);
      progress->show(metrics);
      summary.first_loss = metrics_->first_loss();
    }
    summary.step = number;
    summary.last_loss = metrics.loss;
    const std::int64_t every = config_.checkpoint.every_steps;
    if (stop || number == last_step || (every > 0 && number % every == 0)) {
      save(number);
      summary.checkpoint = checkpoint::newest(directory_.checkpoints());
    }
    if (stop && number < last_step) {
      summary.stopped_on_request = true;
      break;
    }
  }
  log::set_step(0);
  if (cut_samples_ > 0)
    log::information("{} samples were cut to the context length of {} tokens", cut_samples_,
                     config_.data.context_length);
  mpi::all_or_none(world_, "requeue marker", [&] {
    if (summary.stopped_on_request && world_.rank() == 0)
      write_file_atomically(directory_.requeue_marker(), fmt::format("step {}\n", summary.step));
  });
  return summary;
}

StepMetrics Trainer::step(std::int64_t number) {
  const auto start = Clock::now();
  const double waited_before = mpi::seconds_waited();
  const sharding::LeafRange leaves = reducer_.leaves();
  const data::LoadedStep loaded = loader_->load({position_, leaves.begin, leaves.size()});
  const std::vector<data::MicroBatch>& batches = loaded.micro_batches;
  times_ = {};
  times_.data_wait = seconds_since(start);

  const StepCounts counts = count(batches);
  account_for(counts, batches);

  const BatchScale scale{loaded.plan.samples, counts.penalty_positions};
  std::vector<double> losses;
  for (const auto& batch : batches) {
    losses.push_back(schedule_.run(batch, scale, reducer_.leaf()).loss);
    reducer_.finish_leaf();
  }

  StepMetrics metrics;
  metrics.step = number;
  metrics.loss = sharding::sum_over_leaves(losses, config_.train.micro_batches, collectives_);
  metrics.samples = counts.samples;
  metrics.tokens = counts.tokens;
  metrics.supervised_tokens = counts.supervised_tokens;
  update(number, metrics);
  accounts_->enter(number, loaded.plan);
  position_ += loaded.plan.samples;
  metrics.step_seconds = seconds_since(start);
  times_.communication_wait = mpi::seconds_waited() - waited_before;
  return metrics;
}

void Trainer::judge(const std::vector<data::MicroBatch>& batches) {
  const auto policy = config_.data.on_bad_sample;
  const bool stops = policy == data::BadSamplePolicy::kStop;
  const char* outcome = stops ? "bad" : policy == data::BadSamplePolicy::kReplace ? "replaced" : "skipped";
  std::exception_ptr failure;
  for (const auto& batch : batches) {
    for (const auto& bad : batch.bad) {
      log::warning("{}: {}", outcome, bad.reason);
      if (stops && !failure)
        failure = std::make_exception_ptr(
            DataError("{} Or set [data] on_bad_sample = \"replace\" or \"skip\".", bad.reason));
    }
  }
  mpi::agree_on_failure(world_, "samples", failure);
}

void Trainer::account_for(const StepCounts& counts, const std::vector<data::MicroBatch>& batches) {
  if (counts.bad_samples + counts.replacements > 0) accounts_->collect(batches);
  judge(batches);
  bad_samples_ += counts.bad_samples;
  cut_samples_ += counts.cut_samples;
  if (config_.data.max_bad_samples == 0 || bad_samples_ <= config_.data.max_bad_samples) return;
  mpi::agree_on_failure(world_, "bad samples",
                        std::make_exception_ptr(DataError(
                            "{}: {} bad samples so far (max_bad_samples = {}). They are listed in {}: mend "
                            "them, raise the limit, or name a copy of the list in [data] quarantine.",
                            config_.data.sources.front().file.string(), bad_samples_,
                            config_.data.max_bad_samples, directory_.quarantine().string())));
}

Trainer::StepCounts Trainer::count(const std::vector<data::MicroBatch>& batches) const {
  StepCounts counts;
  for (const auto& batch : batches) {
    counts.samples += static_cast<std::int64_t>(batch.targets.size());
    counts.tokens += batch.tokens();
    counts.bad_samples += static_cast<std::int64_t>(batch.bad.size());
    counts.replacements += static_cast<std::int64_t>(batch.replacements.size());
    counts.penalty_positions += penalty_positions(batch, config_.train.l2wrap);
    counts.supervised_tokens += batch.supervised_tokens();
    counts.cut_samples += std::ranges::count_if(batch.packed, &data::MicroBatch::Packed::was_cut);
  }
  std::vector<std::int64_t> sums = {counts.samples,           counts.tokens,      counts.supervised_tokens,
                                    counts.penalty_positions, counts.bad_samples, counts.replacements,
                                    counts.cut_samples};
  world_.sum(sums, "counts of the step");
  return {sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6]};
}

void Trainer::update(std::int64_t number, StepMetrics& metrics) {
  const at::Tensor gradient = reducer_.reduce();
  metrics.grad_norm = sharding::global_grad_norm(gradient, layout_, collectives_);
  metrics.learning_rate = config_.optimizer.schedule.at(number - 1);
  if (!std::isfinite(metrics.loss) || !std::isfinite(metrics.grad_norm))
    mpi::agree_on_failure(
        world_, "loss",
        std::make_exception_ptr(
            NumericError("step {}: the loss is {} and the gradient's norm {} (the update would destroy the "
                         "parameters; none was made). Lower the learning rate, or look at this step's "
                         "samples; checkpoints of earlier steps are whole.",
                         number, metrics.loss, metrics.grad_norm)));
  const double clip = config_.train.gradient_clip;
  const double excess = clip > 0 ? (metrics.grad_norm + 1e-6) / clip : 0;
  const OptimizerConfig& options = config_.optimizer;
  optimizer_.step(
      gradient, excess > 1 ? 1 / excess : 1,
      {metrics.learning_rate, options.beta1, options.beta2, options.epsilon, options.weight_decay, number});
}

bool Trainer::agree(StepMetrics& metrics) {
  std::vector<double> worst = {stop_requested() ? 1.0 : 0.0,
                               metrics.step_seconds,
                               times_.data_wait,
                               times_.communication_wait,
                               std::exchange(checkpoint_stall_, 0.0),
                               static_cast<double>(peak_memory_bytes(compute_))};
  world_.max(worst, "end of the step");
  metrics.step_seconds = worst[1];
  metrics.data_wait_seconds = worst[2];
  metrics.communication_wait_seconds = worst[3];
  metrics.checkpoint_stall_seconds = worst[4];
  metrics.memory_bytes = static_cast<std::int64_t>(worst[5]);
  return worst[0] > 0;
}

void Trainer::save(std::int64_t number) {
  const auto start = Clock::now();
  // A checkpoint that outlived a power cut without its rows could not be resumed from.
  if (metrics_)
    for (const auto& file : {directory_.metrics(), directory_.ledger()}) sync_to_disk(file);
  const checkpoint::TrainingState state{.step = number,
                                        .data_position = position_,
                                        .metrics_rows = number,
                                        .bad_samples = bad_samples_,
                                        .quarantine_crc32c = loader_->quarantine_checksum(),
                                        .config_toml = config_.resolved_toml};
  checkpoint::save(directory_.checkpoints(), state, parameters_, optimizer_, frozen_, world_,
                   static_cast<int>(config_.checkpoint.keep_last));
  checkpoint_stall_ = seconds_since(start);
}

}  // namespace vrwkv::trainer
