// SPDX-License-Identifier: Apache-2.0
// write_example FOLDER: saves the example run's step 7 in FOLDER, for readers that are not this program.
#include "common/mpi/environment.h"
#include "tests/trainer/checkpoint/example_run.h"

int main(int argc, char** argv) {
  const vrwkv::mpi::Environment environment(&argc, &argv);
  if (argc != 2) return 2;
  const auto world = vrwkv::mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const vrwkv::test::ExampleRun run(world, 3);
  vrwkv::checkpoint::save(argv[1], run.state(7), run.parameters, run.optimizer, run.frozen, world, 1);
  return 0;
}
