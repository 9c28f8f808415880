// SPDX-License-Identifier: Apache-2.0
#include "launcher/ranks.h"

#include <ATen/Parallel.h>
#include <fmt/core.h>

#include <cstdio>
#include <exception>

#include "common/error.h"
#include "common/flush_to_zero.h"
#include "common/log.h"
#include "common/mpi/all_or_none.h"
#include "common/mpi/environment.h"

namespace vrwkv::launcher {
namespace {

[[noreturn]] void end_job(const mpi::Communicator& world, ExitCode code, const char* what) {
  log::write_error_to_file(what);
  fmt::print(stderr, "vrwkv-dist: rank {}: {}\n", world.rank(), what);
  std::fflush(stderr);
  mpi::Environment::abort(static_cast<int>(code));
}

}  // namespace

int run_on_ranks(const std::function<int(mpi::Communicator&)>& work) {
  int argc = 0;
  char** argv = nullptr;
  const mpi::Environment environment(&argc, &argv);
  auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  log::start(world.rank());
  try {
    return work(world);
  } catch (const Error& error) {
    if (error.agreed() || world.size() == 1) {
      log::write_error_to_file(error.what());
      throw;
    }
    end_job(world, error.exit_code(), error.what());
  } catch (const std::exception& error) {
    if (world.size() == 1) throw;
    end_job(world, ExitCode::kFailed, error.what());
  }
}

trainer::Compute choose_compute(const std::string& device, const std::string& precision,
                                const mpi::Communicator& world) {
  const int local_rank = world.split_by_node().rank();
  const auto compute = mpi::all_or_none(world, "device", [&] {
    const auto chosen = trainer::choose_compute(device, precision, trainer::Machine::here(local_rank));
    trainer::use(chosen);
    return chosen;
  });
  if (compute.device.is_cuda())
    log::information("computing on {} in {}", compute.device.str(),
                     compute.type == c10::kBFloat16 ? "bf16" : "fp32");
  return compute;
}

void set_up_threads(std::int64_t threads) {
  at::set_num_threads(static_cast<int>(threads));
  flush_denormals_to_zero();
  at::parallel_for(0, threads, 1, [](std::int64_t, std::int64_t) { flush_denormals_to_zero(); });
}

}  // namespace vrwkv::launcher
