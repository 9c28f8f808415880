// SPDX-License-Identifier: Apache-2.0
// main() of the tests that run under mpirun: the report comes from rank 0, failures of other ranks with their
// rank, and every process exits with the worst result. No test at all is a failure.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "common/mpi/communicator.h"
#include "common/mpi/environment.h"
#include "tests/support/leave_amx_alone.h"

namespace {

class FailurePrinter : public ::testing::EmptyTestEventListener {
 public:
  explicit FailurePrinter(int rank) : rank_(rank) {}
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "[rank %d] %s:%d: %s\n", rank_,
                 result.file_name() != nullptr ? result.file_name() : "?", result.line_number(),
                 result.summary());
  }

 private:
  int rank_;
};

}  // namespace

int main(int argc, char** argv) {
  vrwkv::test::leave_amx_alone();
  const vrwkv::mpi::Environment environment(&argc, &argv);
  ::testing::InitGoogleTest(&argc, argv);
  const auto world = vrwkv::mpi::Communicator::duplicate(MPI_COMM_WORLD);
  if (world.rank() != 0) {
    auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailurePrinter(world.rank()));
  }
  std::int64_t result = RUN_ALL_TESTS();
  if (::testing::UnitTest::GetInstance()->test_to_run_count() == 0) {
    std::fputs("no test ran\n", stderr);
    result = 1;
  }
  return static_cast<int>(world.max(result, "test result"));
}
