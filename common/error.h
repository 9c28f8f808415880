// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace vrwkv {

/// What the program returns to its caller. Documented in the README; schedulers act on it.
enum class ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kDataRefused = 3,
  kCheckpointDamaged = 4,
  kStoppedOnRequest = 75,
};

/// Base of every error the program throws on purpose. The message follows one grammar:
/// "where: what is wrong (why it matters). What to do, when we know it."
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode exit_code() const noexcept { return code_; }

  /// All ranks know of this error and end with it, so nobody waits for this one; `shown` says whether this
  /// rank is the one that tells the user.
  void mark_agreed(bool shown) noexcept {
    agreed_ = true;
    shown_ = shown;
  }
  bool agreed() const noexcept { return agreed_; }
  bool shown() const noexcept { return shown_; }

 private:
  ExitCode code_;
  bool agreed_ = false;
  bool shown_ = true;
};

namespace detail {
/// One class per cause; the tag tells them apart.
template <ExitCode kCode, int kTag>
class ErrorOf : public Error {
 public:
  template <class... Args>
  explicit ErrorOf(fmt::format_string<Args...> format, Args&&... args)
      : Error(kCode, fmt::format(format, std::forward<Args>(args)...)) {}
};
}  // namespace detail

/// Wrong usage, configuration, or a request that does not fit this run.
using ConfigError = detail::ErrorOf<ExitCode::kUsage, 0>;
/// A data file, sample or image that cannot be used.
using DataError = detail::ErrorOf<ExitCode::kDataRefused, 1>;
/// A checkpoint that is incomplete or whose bytes changed.
using CheckpointError = detail::ErrorOf<ExitCode::kCheckpointDamaged, 2>;
/// Tensors whose sizes do not fit each other: a mistake of the caller.
using ShapeError = detail::ErrorOf<ExitCode::kFailed, 3>;
/// The operating system refused to read or write (full disk, permissions).
using IoError = detail::ErrorOf<ExitCode::kFailed, 4>;
/// Another process did not answer, or the message layer reported a failure.
using CommError = detail::ErrorOf<ExitCode::kFailed, 5>;
/// The training itself went wrong: a loss or gradient that is not a number.
using NumericError = detail::ErrorOf<ExitCode::kFailed, 6>;
/// Something this build was made without.
using NotBuiltError = detail::ErrorOf<ExitCode::kFailed, 7>;
/// A GPU refused or failed: the runtime's text is in the message.
using DeviceError = detail::ErrorOf<ExitCode::kFailed, 8>;

/// Another rank failed; carries that rank's exit code so that all ranks end alike.
class PeerError : public Error {
 public:
  PeerError(ExitCode code, int rank, const std::string& message)
      : Error(code, fmt::format("rank {} failed: {}", rank, message)), rank_(rank) {}
  int rank() const noexcept { return rank_; }

 private:
  int rank_;
};

}  // namespace vrwkv
