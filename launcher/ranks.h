// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/mpi/communicator.h"
#include "trainer/compute.h"

namespace vrwkv::launcher {

/// Starts MPI and runs `work` on this rank of the job. Errors that all ranks share end the ranks in step; an
/// error of one rank alone is logged and ends the whole job at once with its code, so that nobody waits for
/// it.
int run_on_ranks(const std::function<int(mpi::Communicator&)>& work);

/// Collective. What this rank computes on and in, made the device of this thread: see
/// trainer::choose_compute(). Errors are agreed.
trainer::Compute choose_compute(const std::string& device, const std::string& precision,
                                const mpi::Communicator& world);

/// Sets what makes a process compute the same bits every time: the number of threads, and denormals as zero
/// in each.
void set_up_threads(std::int64_t threads);

}  // namespace vrwkv::launcher
