// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace vrwkv::trainer {

/// Whether a matrix product of bf16 numbers works on this CPU. On some virtual machines oneDNN believes in
/// instructions (AMX) that the machine does not execute, and the process dies of SIGILL; so a child tries it.
bool bf16_products_work();

/// Why bf16 was refused on a CPU, with what is wrong with this machine beyond that, if anything.
std::string explain_bf16_refusal();

}  // namespace vrwkv::trainer
