// SPDX-License-Identifier: Apache-2.0
// A test of each instruction set that a CPU kernel is compiled for (common/instruction_set.h). What the
// processor lacks is skipped, with the reason.
#pragma once

#include <gtest/gtest.h>

#include "common/instruction_set.h"

/// Tests suite.PortableNAME, suite.Avx2NAME and suite.Avx512NAME, whose body calls the kernel as
/// set::function.
#if defined(__x86_64__)
#define VRWKV_TEST_EACH_INSTRUCTION_SET(suite, name, ...)              \
  TEST(suite, Portable##name) {                                        \
    namespace set = cpu::portable;                                     \
    __VA_ARGS__                                                        \
  }                                                                    \
  TEST(suite, Avx2##name) {                                            \
    if (!has_avx2()) GTEST_SKIP() << "this processor has no avx2";     \
    namespace set = cpu::avx2;                                         \
    __VA_ARGS__                                                        \
  }                                                                    \
  TEST(suite, Avx512##name) {                                          \
    if (!has_avx512()) GTEST_SKIP() << "this processor has no avx512"; \
    namespace set = cpu::avx512;                                       \
    __VA_ARGS__                                                        \
  }
#else
#define VRWKV_TEST_EACH_INSTRUCTION_SET(suite, name, ...) \
  TEST(suite, Portable##name) {                           \
    namespace set = cpu::portable;                        \
    __VA_ARGS__                                           \
  }
#endif

/// Tests Suite.PortableMatchesReference and so on, for kernels that are called as a backend: the file defines
/// VRWKV_BACKEND(set), a struct called `set` that computes by cpu::set, and a template
/// expect_reference<Backend>() that tests one.
#define VRWKV_TEST_INSTRUCTION_SET(Suite, Name, set, is_here)      \
  VRWKV_BACKEND(set)                                               \
  TEST(Suite, Name##MatchesReference) {                            \
    if (!(is_here)) GTEST_SKIP() << "this processor has no " #set; \
    expect_reference<set>();                                       \
  }

#if defined(__x86_64__)
#define VRWKV_TEST_INSTRUCTION_SETS(Suite)                    \
  VRWKV_TEST_INSTRUCTION_SET(Suite, Portable, portable, true) \
  VRWKV_TEST_INSTRUCTION_SET(Suite, Avx2, avx2, has_avx2())   \
  VRWKV_TEST_INSTRUCTION_SET(Suite, Avx512, avx512, has_avx512())
#else
#define VRWKV_TEST_INSTRUCTION_SETS(Suite) VRWKV_TEST_INSTRUCTION_SET(Suite, Portable, portable, true)
#endif
