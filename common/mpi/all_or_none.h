// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/mpi/communicator.h"

namespace vrwkv::mpi {

/// Collective. Runs `work`; if it throws on any rank it throws on all: the failed ranks their own error, the others
/// PeerError naming the lowest failed rank, with its message and exit code. `work` itself must not communicate.
template <class Work>
auto all_or_none(const Communicator& comm, const char* what, Work&& work) {
  using Result = std::invoke_result_t<Work>;
  constexpr bool kReturnsNothing = std::is_void_v<Result>;
  std::conditional_t<kReturnsNothing, std::optional<bool>, std::optional<Result>> result;
  std::exception_ptr failure;
  std::string report;    // exit code digit(s), ':', message; empty when all is well
  try {
    if constexpr (kReturnsNothing) {
      std::forward<Work>(work)();
      result = true;
    } else {
      result.emplace(std::forward<Work>(work)());
    }
  } catch (const Error& error) {
    failure = std::current_exception();
    report = fmt::format("{}:{}", static_cast<int>(error.exit_code()), error.what());
  } catch (const std::exception& error) {
    failure = std::current_exception();
    report = fmt::format("{}:{}", static_cast<int>(ExitCode::kFailed), error.what());
  }
  const std::vector<std::string> reports = comm.all_gather(report, what);
  if (failure) std::rethrow_exception(failure);
  for (std::size_t rank = 0; rank < reports.size(); ++rank) {
    if (reports[rank].empty()) continue;
    const std::size_t colon = reports[rank].find(':');
    const auto code = static_cast<ExitCode>(std::stoi(reports[rank].substr(0, colon)));
    throw PeerError(code, static_cast<int>(rank), reports[rank].substr(colon + 1));
  }
  if constexpr (!kReturnsNothing) return std::move(*result);
}

}  // namespace vrwkv::mpi
