// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

#include "common/error.h"

namespace vrwkv::log {
namespace {

struct State {
  int rank = 0;
  std::atomic<std::int64_t> step{0};
  std::shared_ptr<spdlog::sinks::stderr_sink_mt> terminal = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  std::shared_ptr<spdlog::logger> logger = std::make_shared<spdlog::logger>("vrwkv", terminal);
};

State& state() {
  static State instance;
  return instance;
}

void write(spdlog::level::level_enum level, const std::string& message) {
  State& log = state();
  const std::int64_t step = log.step.load();
  const std::string where =
      step > 0 ? fmt::format("rank {} step {}", log.rank, step) : fmt::format("rank {}", log.rank);
  log.logger->log(level, "{} | {}", where, message);
  if (level >= spdlog::level::warn) log.logger->flush();
}

}  // namespace

void start(int rank) {
  State& log = state();
  log.rank = rank;
  log.logger->set_pattern("%H:%M:%S %L %v");
  log.terminal->set_level(rank == 0 ? spdlog::level::info : spdlog::level::warn);
}

void open_file(const std::filesystem::path& directory) {
  State& log = state();
  try {
    const auto path = directory / fmt::format("rank-{:04}.log", log.rank);
    auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
    file->set_pattern("%Y-%m-%d %H:%M:%S.%e %L %v");
    log.logger->sinks().push_back(std::move(file));
  } catch (const spdlog::spdlog_ex& failure) {
    throw IoError("{}: cannot open the log file ({})", directory.string(), failure.what());
  }
}

void set_step(std::int64_t step) { state().step = step; }

void set_quiet(bool quiet) {
  State& log = state();
  const bool informs = log.rank == 0 && !quiet;
  log.terminal->set_level(informs ? spdlog::level::info : spdlog::level::warn);
}

void write_information(const std::string& message) { write(spdlog::level::info, message); }
void write_warning(const std::string& message) { write(spdlog::level::warn, message); }
void write_error(const std::string& message) { write(spdlog::level::err, message); }
void write_error_to_file(const std::string& message) {
  const auto shown = state().terminal->level();
  state().terminal->set_level(spdlog::level::off);
  write(spdlog::level::err, message);
  state().terminal->set_level(shown);
}

}  // namespace vrwkv::log
