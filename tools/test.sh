#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets up, builds and tests the optimised CPU build in build/.
#   tools/test.sh [CTEST ARGUMENTS...]       for example: tools/test.sh -R sharding
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh --test
mkdir -p build
cmake --preset cpu-release -DVRWKV_BUILD_TESTS=ON -DVRWKV_BUILD_BENCH=ON >build/configure.log 2>&1 ||
  { cat build/configure.log; exit 1; }
cmake --build --preset cpu-release
# Tests share the cores: a thread that waits for others of its process must leave them to the next.
export OMP_WAIT_POLICY=passive
ctest --test-dir build --output-on-failure --no-tests=error --parallel "$(nproc)" "$@"
printf 'make test: done in %d min %02d s\n' $((SECONDS / 60)) $((SECONDS % 60))
