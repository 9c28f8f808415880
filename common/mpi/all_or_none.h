// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/log.h"
#include "common/mpi/communicator.h"

namespace vrwkv::mpi {

namespace detail {

/// Exit code, ':' and message of an Error.
inline std::string report_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return fmt::format("{}:{}", static_cast<int>(error.exit_code()), error.what());
  }
}

[[noreturn]] inline void rethrow_agreed(const std::exception_ptr& failure, bool shown) {
  try {
    std::rethrow_exception(failure);
  } catch (Error& error) {
    error.mark_agreed(shown);
    throw;
  }
}

}  // namespace detail

/// Collective. Every rank brings its failure, an Error, or none. When there is one, throws on all ranks: the
/// failed ranks their own error, of its own class, the others PeerError naming the lowest failed rank, with
/// its message and exit code. Each message is shown by one rank only.
inline void agree_on_failure(const Communicator& comm, const char* what, const std::exception_ptr& failure) {
  const std::string report = failure ? detail::report_of(failure) : std::string();
  const std::vector<std::string> reports = comm.all_gather(report, what);
  if (failure) {
    const auto first = std::find(reports.begin(), reports.end(), report);
    detail::rethrow_agreed(failure, /*shown=*/first - reports.begin() == comm.rank());
  }
  for (std::size_t rank = 0; rank < reports.size(); ++rank) {
    if (reports[rank].empty()) continue;
    const std::size_t colon = reports[rank].find(':');
    const auto code = static_cast<ExitCode>(std::stoi(reports[rank].substr(0, colon)));
    PeerError error(code, static_cast<int>(rank), reports[rank].substr(colon + 1));
    error.mark_agreed(/*shown=*/false);
    throw error;
  }
}

/// Collective. Runs `work`; if it throws on any rank it throws on all, as agree_on_failure() says. `work`
/// itself must not communicate.
template <class Work>
auto all_or_none(const Communicator& comm, const char* what, Work&& work) {
  using Result = std::invoke_result_t<Work>;
  constexpr bool kReturnsNothing = std::is_void_v<Result>;
  std::conditional_t<kReturnsNothing, std::optional<bool>, std::optional<Result>> result;
  std::exception_ptr failure;
  try {
    if constexpr (kReturnsNothing) {
      std::forward<Work>(work)();
    } else {
      result.emplace(std::forward<Work>(work)());
    }
  } catch (const Error&) {
    failure = std::current_exception();
  } catch (const std::exception& error) {
    failure = std::make_exception_ptr(Error(ExitCode::kFailed, error.what()));
  }
  agree_on_failure(comm, what, failure);
  if constexpr (!kReturnsNothing) return std::move(*result);
}

/// Collective. all_or_none() for shares of work that take long: the other ranks hear of an error when theirs
/// are done, so the failed rank logs it at once.
template <class Work>
void all_or_none_of_shares(const Communicator& comm, const char* what, Work&& work) {
  all_or_none(comm, what, [&] {
    try {
      std::forward<Work>(work)();
    } catch (const std::exception& error) {
      if (comm.size() > 1)
        log::error("this rank's share failed, the others finish theirs first: {}", error.what());
      throw;
    }
  });
}

}  // namespace vrwkv::mpi
