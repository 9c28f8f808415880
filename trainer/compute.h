// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

namespace vrwkv::trainer {

/// Where a rank computes, and in which type. Master weights, moments, gradients and losses are fp32 in
/// either.
struct Compute {
  c10::Device device = c10::kCPU;
  c10::ScalarType type = c10::kFloat;
};

/// What the machine offers, as choose_compute() sees it.
struct Machine {
  bool built_with_cuda = false;
  int gpus = 0;        ///< that this process sees
  int local_rank = 0;  ///< among the ranks of its node
  /// The processor has products of bf16 numbers: AVX-512 BF16 or AMX.
  bool multiplies_bf16 = false;
  /// Asks the build, the driver and the processor. @param local_rank  as above.
  static Machine here(int local_rank);
};

/// Whether matrix products of bf16 numbers work on this CPU. On some virtual machines oneDNN believes in
/// instructions (AMX) that the machine does not execute, and the process dies of SIGILL: a child tries them.
bool bf16_products_work();

/// The choice of [run] device and [train] precision on a machine.
/// @param device     "auto": a GPU where there is one; "cpu"; or "cuda", which must be there.
/// @param precision  "auto": bf16 on a GPU and fp32 on a CPU; "fp32"; or "bf16", on a CPU only where it
///                   multiplies bf16.
/// @param bf16_works asked where a CPU is to compute in bf16.
/// A rank takes the GPU of its local rank, or the only one that it sees.
/// @throws ConfigError when the wish cannot be had.
Compute choose_compute(const std::string& device, const std::string& precision, const Machine& machine,
                       bool (*bf16_works)() = bf16_products_work);

/// Makes the device of `compute` that of this thread. Does nothing on a CPU.
void use(const Compute& compute);

/// The most memory in use so far: of this rank's GPU, or of the process.
std::int64_t peak_memory_bytes(const Compute& compute);

}  // namespace vrwkv::trainer
