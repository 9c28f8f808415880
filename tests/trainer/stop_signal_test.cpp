// SPDX-License-Identifier: Apache-2.0
#include "trainer/stop_signal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace vrwkv::trainer {
namespace {

// Each in a process of its own: a request cannot be taken back.
int exit_code_after(int signal) {
  install_stop_signals();
  if (stop_requested()) return 1;
  std::raise(signal);
  return stop_requested() ? 0 : 2;
}

TEST(StopSignal, UserSignalAndTerminationSetTheFlagAndEndNothing) {
  EXPECT_EXIT(std::_Exit(exit_code_after(SIGUSR1)), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(std::_Exit(exit_code_after(SIGTERM)), ::testing::ExitedWithCode(0), "");
}

TEST(StopSignal, OthersStillEndTheProcess) {
  EXPECT_EXIT(std::_Exit(exit_code_after(SIGINT)), ::testing::KilledBySignal(SIGINT), "");
}

// The scheduler's signal comes while a file is written or a peer is waited for.
TEST(StopSignal, AnInterruptedReadGoesOn) {
  const auto read_through_a_signal = [] {
    install_stop_signals();
    int ends[2] = {};
    if (pipe(ends) != 0) std::_Exit(3);
    const pid_t parent = getpid();
    if (fork() == 0) {
      usleep(50'000);
      kill(parent, SIGUSR1);
      usleep(50'000);
      const ssize_t written = write(ends[1], "x", 1);
      std::_Exit(written == 1 ? 0 : 1);
    }
    char byte = 0;
    std::_Exit(read(ends[0], &byte, 1) == 1 && stop_requested() ? 0 : 4);
  };
  EXPECT_EXIT(read_through_a_signal(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace vrwkv::trainer
