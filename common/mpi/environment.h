// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace vrwkv::mpi {

/// MPI's lifetime: one in `main`, before anything else uses MPI. Starts with MPI_THREAD_MULTIPLE and makes
/// MPI return errors instead of ending the process. @throws CommError when the library cannot start or offers
/// fewer threads.
class Environment {
 public:
  Environment(int* argc, char*** argv);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  /// Collective. Finalizes MPI, which waits for the other ranks; not called after abort().
  ~Environment();

  /// Ends every rank of the job at once with this exit code. Never returns.
  [[noreturn]] static void abort(int exit_code);
  /// Whether MPI is running now.
  static bool is_running();
};

}  // namespace vrwkv::mpi
