// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "common/mpi/communicator.h"

namespace vrwkv::trainer {

/// The cores that this thread may run on, by number: '1', else '0'. Limits of a cgroup's time are not in it.
std::string core_mask();

/// How many cores of its node a rank has to itself, each core being divided among the ranks that may run on
/// it: those of a rank that is bound to its own are not divided again.
/// @param masks  as core_mask(), of the ranks of the node. @param rank  which of them.
int share_of_cores(const std::vector<std::string>& masks, std::size_t rank);
/// Collective. The same of this rank.
int share_of_cores(const mpi::Communicator& world);

}  // namespace vrwkv::trainer
