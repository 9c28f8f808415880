// SPDX-License-Identifier: Apache-2.0
#include "data/loader.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "common/error.h"
#include "data/sample_file.h"
#include "data/sample_reader.h"
#include "data/sampler.h"
#include "data/tokenizer.h"

namespace vrwkv::data {
namespace {

/// One slice on its way. Fields below `slice` belong to whoever holds the loader's mutex, except a sample's
/// place and a micro-batch's place, which belong to the thread that fills them.
struct Job {
  explicit Job(const StepSlice& wanted)
      : slice(wanted),
        samples(static_cast<std::size_t>(wanted.count), std::vector<Sample>(wanted.micro_batch_size)),
        samples_left(static_cast<std::size_t>(wanted.count), wanted.micro_batch_size),
        micro_batches(static_cast<std::size_t>(wanted.count)),
        micro_batches_left(wanted.count) {}

  std::int64_t sample_count() const { return slice.count * slice.micro_batch_size; }
  bool has_work() const { return next_sample < sample_count(); }
  bool is_done() const { return micro_batches_left == 0 || failure; }
  void abandon() { next_sample = sample_count(); }

  const StepSlice slice;
  std::int64_t next_sample = 0;  ///< the first that no thread has taken, counted over the slice
  std::vector<std::vector<Sample>> samples;
  std::vector<std::int64_t> samples_left;  ///< of each micro-batch; who reads the last one packs it
  std::vector<MicroBatch> micro_batches;
  std::int64_t micro_batches_left;
  std::exception_ptr failure;
};

void check(const StepSlice& slice) {
  if (slice.step < 1 || slice.global_batch_size < 1 || slice.micro_batch_size < 1 ||
      slice.first_micro_batch < 0 || slice.count < 0 ||
      (slice.first_micro_batch + slice.count) * slice.micro_batch_size > slice.global_batch_size)
    throw ConfigError(
        "loader: step {} has no micro-batches {} to {} of {} samples in a global batch of {} (steps count "
        "from 1)",
        slice.step, slice.first_micro_batch, slice.first_micro_batch + slice.count - 1,
        slice.micro_batch_size, slice.global_batch_size);
}

}  // namespace

class Loader::Implementation {
 public:
  Implementation(const DataConfig& config, LoaderOptions options)
      : context_length_(config.context_length),
        tokenizer_(Tokenizer::load(config.vocabulary, options.vocabulary_size)),
        file_(SampleFile::open(config.file)),
        sampler_(file_.size(), options.seed, config.order),
        reader_(tokenizer_, config.image_folder,
                config.reader_options(std::move(options.image_sizes), options.tokens_per_image)) {
    if (options.threads < 1)
      throw ConfigError("loader: {} threads (there must be one at least)", options.threads);
    for (int i = 0; i < options.threads; ++i)
      threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }

  std::vector<MicroBatch> load(const StepSlice& slice) {
    check(slice);
    std::unique_lock lock(mutex_);
    if (!job_ || job_->slice != slice) start(slice);
    const std::shared_ptr<Job> job = job_;
    job_done_.wait(lock, [&] { return job->is_done(); });
    job_.reset();
    if (job->failure) std::rethrow_exception(job->failure);
    StepSlice following = slice;
    ++following.step;
    start(following);
    lock.unlock();
    tally(job->micro_batches);
    return std::move(job->micro_batches);
  }

  std::int64_t samples() const { return file_.size(); }
  std::int64_t cut_samples() const { return cut_samples_; }
  std::int64_t bad_samples() const { return bad_samples_; }

 private:
  /// Needs the mutex. Threads that are reading for the job before finish their sample and drop it.
  void start(const StepSlice& slice) {
    if (job_) job_->abandon();
    job_ = std::make_shared<Job>(slice);
    work_left_.notify_all();
  }

  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const auto has_work = [&] { return job_ && job_->has_work(); };
    while (work_left_.wait(lock, stop, has_work) && !stop.stop_requested()) {
      const std::shared_ptr<Job> job = job_;
      const std::int64_t sample = job->next_sample++;
      lock.unlock();
      std::exception_ptr failure;
      try {
        fill(*job, sample);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      if (failure && !job->failure) job->failure = failure;
      if (failure) job->abandon();
      if (job->is_done()) job_done_.notify_all();
    }
  }

  /// Reads one sample of the job, and packs its micro-batch when it was the last to be read.
  void fill(Job& job, std::int64_t sample) {
    const std::int64_t size = job.slice.micro_batch_size;
    const auto micro_batch = static_cast<std::size_t>(sample / size);
    job.samples[micro_batch][static_cast<std::size_t>(sample % size)] = read(position_of(job.slice, sample));
    {
      const std::lock_guard lock(mutex_);
      if (--job.samples_left[micro_batch] != 0) return;
    }
    job.micro_batches[micro_batch] = pack(job.samples[micro_batch], reader_.image_sizes());
    job.samples[micro_batch].clear();
    const std::lock_guard lock(mutex_);
    --job.micro_batches_left;
  }

  static std::int64_t position_of(const StepSlice& slice, std::int64_t sample) {
    return (slice.step - 1) * slice.global_batch_size + slice.first_micro_batch * slice.micro_batch_size +
           sample;
  }

  Sample read(std::int64_t position) const {
    return reader_.read_for_training(file_.read(sampler_.at(position)), context_length_);
  }

  void tally(const std::vector<MicroBatch>& micro_batches) {
    for (const MicroBatch& micro_batch : micro_batches) {
      bad_samples_ += static_cast<std::int64_t>(micro_batch.bad.size());
      for (const MicroBatch::Packed& sample : micro_batch.packed) cut_samples_ += sample.was_cut ? 1 : 0;
    }
  }

  const std::int64_t context_length_;
  const Tokenizer tokenizer_;
  const SampleFile file_;
  const Sampler sampler_;
  const SampleReader reader_;
  std::int64_t cut_samples_ = 0;
  std::int64_t bad_samples_ = 0;

  std::mutex mutex_;
  std::condition_variable_any work_left_;
  std::condition_variable job_done_;
  std::shared_ptr<Job> job_;           ///< what the threads read for; the only one that holds samples
  std::vector<std::jthread> threads_;  ///< last, so that they end before anything they use
};

Loader::Loader(const DataConfig& config, LoaderOptions options)
    : implementation_(std::make_unique<Implementation>(config, std::move(options))) {}
Loader::~Loader() = default;

std::vector<MicroBatch> Loader::load(const StepSlice& slice) { return implementation_->load(slice); }
std::int64_t Loader::samples() const { return implementation_->samples(); }
std::int64_t Loader::cut_samples() const { return implementation_->cut_samples(); }
std::int64_t Loader::bad_samples() const { return implementation_->bad_samples(); }

}  // namespace vrwkv::data
