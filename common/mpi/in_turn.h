// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include "common/mpi/all_or_none.h"

namespace vrwkv::mpi {

/// Collective. Returns what `open` returns, which it calls once on each rank: on rank 0 first, then on the
/// first rank of every other node, then on the rest, so that a file that `open` makes where it is missing is
/// made by one process, also where nodes have disks of their own. Throws as all_or_none() does. `open` itself
/// must not communicate.
template <class Open>
auto in_turn(const Communicator& comm, const char* what, Open&& open) {
  const Communicator node = comm.split_by_node();
  std::optional<std::invoke_result_t<Open>> opened;
  for (const bool is_turn : {comm.rank() == 0, node.rank() == 0, true})
    all_or_none(comm, what, [&] {
      if (is_turn && !opened) opened.emplace(open());
    });
  return std::move(*opened);
}

}  // namespace vrwkv::mpi
