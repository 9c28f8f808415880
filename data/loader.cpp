// SPDX-License-Identifier: Apache-2.0
#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "common/error.h"

namespace vrwkv::data {
namespace {

/// One slice on its way: planned by one thread, then read by all. Everything belongs to whoever holds the
/// loader's mutex, except `step` while the job is planned, and a sample's and a micro-batch's place, which
/// belong to the thread that fills them.
struct Job {
  explicit Job(const StepSlice& wanted) : slice(wanted) {}

  struct Reading {
    std::size_t micro_batch = 0, sample = 0;
  };

  const PlannedSample& planned(const Reading& reading) const {
    return step.plan.micro_batches[static_cast<std::size_t>(slice.first_micro_batch) + reading.micro_batch]
                                  [reading.sample];
  }
  bool has_work() const { return is_planned && next_reading < readings.size(); }
  bool is_done() const { return (is_planned && micro_batches_left == 0) || failure; }
  void fail(std::exception_ptr why) {
    if (!failure) failure = std::move(why);
    next_reading = readings.size();
  }

  const StepSlice slice;
  bool is_taken = false;  ///< a thread plans it
  bool is_planned = false;
  LoadedStep step;
  std::int64_t bytes = 0;

  std::vector<Reading> readings;
  std::size_t next_reading = 0;  ///< the first that no thread has taken
  std::vector<std::vector<Sample>> samples;
  std::vector<std::size_t> samples_left;  ///< of each micro-batch; who reads the last one packs it
  std::size_t micro_batches_left = 0;
  std::exception_ptr failure;
};

}  // namespace

class Loader::Implementation {
 public:
  Implementation(const DataConfig& config, StepReaderOptions options, int threads)
      : micro_batches_(options.step.micro_batches),
        prefetch_bytes_(config.prefetch_bytes),
        reader_(config, std::move(options)) {
    if (threads < 1) throw ConfigError("loader: {} threads (there must be one at least)", threads);
    for (int i = 0; i < threads; ++i)
      threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }

  LoadedStep load(const StepSlice& slice) {
    if (slice.position < 0 || slice.first_micro_batch < 0 || slice.count < 0 ||
        slice.first_micro_batch + slice.count > micro_batches_)
      throw ConfigError("loader: a step at position {} with {} micro-batches has none from {} to {}",
                        slice.position, micro_batches_, slice.first_micro_batch,
                        slice.first_micro_batch + slice.count - 1);
    std::unique_lock lock(mutex_);
    if (jobs_.empty() || jobs_.front()->slice != slice) {
      restart(slice);
    } else if (!jobs_.front()->is_done()) {
      steps_ahead_ = std::min(steps_ahead_ + 1, kMostStepsAhead);
    }
    const std::shared_ptr<Job> job = jobs_.front();
    job_done_.wait(lock, [&] { return job->is_done(); });
    if (job->failure) {
      jobs_.clear();
      std::rethrow_exception(job->failure);
    }
    jobs_.pop_front();
    bytes_ahead_ -= job->bytes;
    work_left_.notify_all();
    lock.unlock();
    return std::move(job->step);
  }

  const StepReader& reader() const { return reader_; }

 private:
  static constexpr std::size_t kMostStepsAhead = 64;

  /// Needs the mutex. Threads that work for the jobs before finish what they have begun and drop it.
  void restart(const StepSlice& slice) {
    jobs_.clear();
    bytes_ahead_ = 0;
    jobs_.push_back(std::make_shared<Job>(slice));
    work_left_.notify_all();
  }

  /// Needs the mutex. The jobs are steps in their order, of which only the last is not planned yet.
  std::shared_ptr<Job> readable() const {
    for (const auto& job : jobs_)
      if (job->has_work()) return job;
    return nullptr;
  }
  std::shared_ptr<Job> plannable() const {
    if (jobs_.empty() || jobs_.back()->is_taken) return nullptr;
    const bool is_next = jobs_.size() == 1;
    const bool has_room = jobs_.size() <= steps_ahead_ && bytes_ahead_ < prefetch_bytes_;
    return is_next || has_room ? jobs_.back() : nullptr;
  }

  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const auto has_work = [&] { return readable() || plannable(); };
    while (work_left_.wait(lock, stop, has_work) && !stop.stop_requested()) {
      if (const std::shared_ptr<Job> job = readable()) {
        const Job::Reading reading = job->readings[job->next_reading++];
        do_unlocked(lock, *job, [&] { fill(*job, reading); });
      } else {
        plan(lock, plannable());
      }
    }
  }

  /// Carries what `work` throws to the caller.
  template <class Work>
  void do_unlocked(std::unique_lock<std::mutex>& lock, Job& job, Work&& work) {
    lock.unlock();
    std::exception_ptr failure;
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) job.fail(failure);
    if (job.is_done()) job_done_.notify_all();
  }

  void plan(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Job>& job) {
    job->is_taken = true;
    do_unlocked(lock, *job, [&] { prepare(*job); });
    if (job->failure || jobs_.empty() || jobs_.back() != job) return;
    job->is_planned = true;
    bytes_ahead_ += job->bytes;
    StepSlice following = job->slice;
    following.position += job->step.plan.samples;
    jobs_.push_back(std::make_shared<Job>(following));
    if (job->is_done()) job_done_.notify_all();
    work_left_.notify_all();
  }

  void prepare(Job& job) const {
    job.step.plan = reader_.plan(job.slice.position);
    const auto count = static_cast<std::size_t>(job.slice.count);
    job.step.micro_batches.resize(count);
    job.samples.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto& places =
          job.step.plan.micro_batches[static_cast<std::size_t>(job.slice.first_micro_batch) + i];
      job.samples[i].resize(places.size());
      job.samples_left.push_back(places.size());
      for (std::size_t sample = 0; sample < places.size(); ++sample) {
        job.readings.push_back({i, sample});
        job.bytes += reader_.bytes(places[sample]);
      }
      if (places.empty()) job.step.micro_batches[i] = reader_.pack_samples({});
      if (!places.empty()) ++job.micro_batches_left;
    }
  }

  /// Reads one sample of the job, and packs its micro-batch when it was the last to be read.
  void fill(Job& job, const Job::Reading& reading) {
    const std::size_t i = reading.micro_batch;
    job.samples[i][reading.sample] = reader_.read(job.step.plan, job.planned(reading));
    {
      const std::lock_guard lock(mutex_);
      if (--job.samples_left[i] != 0) return;
    }
    job.step.micro_batches[i] = reader_.pack_samples(job.samples[i]);
    job.samples[i].clear();
    const std::lock_guard lock(mutex_);
    --job.micro_batches_left;
  }

  const std::int64_t micro_batches_;
  const std::int64_t prefetch_bytes_;
  const StepReader reader_;

  std::mutex mutex_;
  std::condition_variable_any work_left_;
  std::condition_variable job_done_;
  std::deque<std::shared_ptr<Job>> jobs_;  ///< what the threads work for; the only ones that hold samples
  std::int64_t bytes_ahead_ = 0;           ///< of all jobs
  std::size_t steps_ahead_ = 1;            ///< planned and read before they are asked for
  std::vector<std::jthread> threads_;      ///< last, so that they end before anything they use
};

Loader::Loader(const DataConfig& config, StepReaderOptions options, int threads)
    : implementation_(std::make_unique<Implementation>(config, std::move(options), threads)) {}
Loader::~Loader() = default;

LoadedStep Loader::load(const StepSlice& slice) { return implementation_->load(slice); }
const Mixture& Loader::mixture() const { return implementation_->reader().mixture(); }
std::uint32_t Loader::quarantine_checksum() const { return implementation_->reader().quarantine_checksum(); }
std::string Loader::header_of_ledger() const { return implementation_->reader().header_of_ledger(); }
}  // namespace vrwkv::data
