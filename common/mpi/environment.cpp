// SPDX-License-Identifier: Apache-2.0
#include "common/mpi/environment.h"

#include <mpi.h>

#include <cstdlib>

#include "common/error.h"
#include "common/mpi/communicator.h"

namespace vrwkv::mpi {

Environment::Environment(int* argc, char*** argv) {
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  if (provided < MPI_THREAD_MULTIPLE)
    throw CommError(
        "MPI_Init_thread: this MPI offers no MPI_THREAD_MULTIPLE (loader threads run beside it).");
}

Environment::~Environment() { MPI_Finalize(); }

void Environment::abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

bool Environment::is_running() {
  int started = 0;
  int ended = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&ended);
  return started != 0 && ended == 0;
}

}  // namespace vrwkv::mpi
