// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace vrwkv::trainer {

/// From now on SIGUSR1 and SIGTERM only set a flag, which the step loop asks for between steps. mpirun
/// forwards SIGUSR1 to every rank; schedulers send SIGTERM before they kill.
void install_stop_signals();
/// Whether one of them has arrived at this process.
bool stop_requested() noexcept;

}  // namespace vrwkv::trainer
