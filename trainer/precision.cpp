// SPDX-License-Identifier: Apache-2.0
#include "trainer/precision.h"

#include <ATen/ATen.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace vrwkv::trainer {
namespace {

/// Runs in a child: the exit status 0, or a signal.
[[noreturn]] void try_product() {
  std::signal(SIGILL, SIG_DFL);
  const at::Tensor ones = at::ones({64, 64}, at::kBFloat16);
  const bool right = at::matmul(ones, ones)[0][0].to(at::kFloat).item<float>() == 64;
  ::_exit(right ? 0 : 1);
}

}  // namespace

bool bf16_products_work() {
  const ::pid_t child = ::fork();
  if (child < 0) return true;  // nothing is known; no reason to alarm anybody
  if (child == 0) try_product();
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string explain_bf16_refusal() {
  std::string text =
      "bf16 is for GPUs (a CPU computes in fp32, which is also its fastest). Choose \"auto\" or \"fp32\".";
  if (!bf16_products_work())
    text +=
        " On this machine a bf16 matrix product even dies: oneDNN uses instructions that it does not "
        "execute; set "
        "ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 for programs that compute in bf16 here.";
  return text;
}

}  // namespace vrwkv::trainer
