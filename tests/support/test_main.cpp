// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/support/leave_amx_alone.h"

int main(int argc, char** argv) {
  vrwkv::test::leave_amx_alone();
  ::testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  if (::testing::UnitTest::GetInstance()->test_to_run_count() == 0) {
    std::fputs("no test ran\n", stderr);
    return 1;
  }
  return result;
}
