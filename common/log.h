// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

/// The program's log: standard error for people (warnings of every rank, information of rank 0), and once a
/// run directory is known one file per rank. Each line carries time, rank and step. Thread-safe.
namespace vrwkv::log {

/// Called once, before the first message; without it messages of rank 0 go to standard error.
void start(int rank);
/// From now on also writes `directory`/rank-NNNN.log (appending). @throws IoError when it cannot be opened.
void open_file(const std::filesystem::path& directory);
/// The step that following lines carry; 0 means "outside a step".
void set_step(std::int64_t step);
/// Keeps information off standard error (a progress bar owns the terminal); files still get it.
void set_quiet(bool quiet);

void write_information(const std::string& message);
void write_warning(const std::string& message);
void write_error(const std::string& message);
/// An error that somebody else shows: only the log file gets it.
void write_error_to_file(const std::string& message);

template <class... Args>
void information(fmt::format_string<Args...> format, Args&&... args) {
  write_information(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write_warning(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write_error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace vrwkv::log
