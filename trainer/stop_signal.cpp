// SPDX-License-Identifier: Apache-2.0
#include "trainer/stop_signal.h"

#include <csignal>

namespace vrwkv::trainer {
namespace {

volatile std::sig_atomic_t requested = 0;

extern "C" void remember_request(int) { requested = 1; }

}  // namespace

void install_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = remember_request;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool stop_requested() noexcept { return requested != 0; }

}  // namespace vrwkv::trainer
