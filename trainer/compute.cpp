// SPDX-License-Identifier: Apache-2.0
#include "trainer/compute.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <exception>

#include "common/error.h"
#include "kernels/device/cuda_devices.h"
#include "kernels/fp32_product/bf16_product_cpu.h"
#include "kernels/fp32_product/fp32_product.h"
#include "trainer/metrics.h"

namespace vrwkv::trainer {
namespace {

/// Runs in a child: the exit status 0, another one, or a signal. Both kinds of products are tried.
[[noreturn]] void try_products() {
  std::signal(SIGILL, SIG_DFL);
  at::set_num_threads(1);  // the parent's other threads are not here
  try {
    const at::Tensor ones = at::ones({64, 64}, at::kBFloat16);
    const bool rounded = at::matmul(ones, ones)[0][0].to(at::kFloat).item<float>() == 64;
    ::_exit(rounded && kernels::fp32_product(ones, ones)[0][0].item<float>() == 64 ? 0 : 1);
  } catch (const std::exception&) {
    ::_exit(1);
  }
}

/// @throws ConfigError when the machine has no GPU for this rank.
c10::Device choose_gpu(const Machine& machine) {
  constexpr const char* kWhere = "key 'run.device': \"cuda\"";
  if (!machine.built_with_cuda)
    throw ConfigError(
        "{}, but this program was built without CUDA. Build the preset cuda-release, or choose \"cpu\".",
        kWhere);
  if (machine.gpus == 0)
    throw ConfigError("{}, but the driver shows no GPU. Look at nvidia-smi and CUDA_VISIBLE_DEVICES.",
                      kWhere);
  // Slurm's --gpus-per-task shows every rank its own GPU as number 0.
  if (machine.gpus == 1) return {c10::kCUDA, 0};
  if (machine.local_rank >= machine.gpus)
    throw ConfigError("{}, but rank {} of this node has none: it has {}. Start one rank a GPU.", kWhere,
                      machine.local_rank, machine.gpus);
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(machine.local_rank)};
}

/// @throws ConfigError unless this CPU computes in bf16.
void check_bf16_on_cpu(const Machine& machine, bool (*products_work)()) {
  constexpr const char* kWhere = "precision \"bf16\" (key 'train.precision', --dtype of forward)";
  if (!machine.multiplies_bf16)
    throw ConfigError(
        "{}: this processor has no instructions for products of bf16 numbers (AVX-512 BF16 or AMX) and would "
        "be slower than in fp32. Choose \"auto\" or \"fp32\".",
        kWhere);
  if (!products_work())
    throw ConfigError(
        "{}: a product of bf16 numbers fails here. Set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 in the "
        "environment (the machine may show AMX and not execute it, or the variable name less), or choose "
        "\"fp32\".",
        kWhere);
}

}  // namespace

Machine Machine::here(int local_rank) {
  return {kernels::built_with_cuda(), kernels::cuda_device_count(), local_rank,
          kernels::cpu::multiplies_bf16()};
}

Compute choose_compute(const std::string& device, const std::string& precision, const Machine& machine,
                       bool (*bf16_works)()) {
  Compute compute;
  if (device == "cuda" || (device == "auto" && machine.gpus > 0)) compute.device = choose_gpu(machine);
  const bool on_cpu = compute.device.is_cpu();
  if (precision == "bf16" || (precision == "auto" && !on_cpu)) compute.type = c10::kBFloat16;
  if (on_cpu && compute.type == c10::kBFloat16) check_bf16_on_cpu(machine, bf16_works);
  return compute;
}

void use(const Compute& compute) {
  if (!compute.device.is_cuda()) return;
  kernels::use_cuda_device(compute.device.index());
  // fp32 means fp32: LibTorch's convolutions would use TF32, its products do not unless told.
  at::globalContext().setAllowTF32CuDNN(false);
}

std::int64_t peak_memory_bytes(const Compute& compute) {
  return compute.device.is_cuda() ? kernels::peak_cuda_bytes(compute.device.index()) : peak_process_bytes();
}

bool bf16_products_work() {
  const ::pid_t child = ::fork();
  if (child < 0) return true;  // nothing is known; no reason to alarm anybody
  if (child == 0) try_products();
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace vrwkv::trainer
