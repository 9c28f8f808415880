#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzzers with clang and its sanitizers and runs each for a while; a finding ends it with an error and leaves the
# input in build-fuzz/.
#   tests/fuzz/run.sh [SECONDS EACH]        default: 60
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds="${1:-60}"
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target fuzzers

# run NAME SEED_FOLDERS... : from the seeds, with a corpus that grows in the build folder.
run() {
  local name="$1"
  shift
  printf '=== fuzz_%s, %s s\n' "$name" "$seconds"
  mkdir -p "build-fuzz/corpus/$name"
  "build-fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -malloc_limit_mb=1000 -max_len=65536 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="build-fuzz/$name-" "build-fuzz/corpus/$name" "$@"
}
run tensor_file tests/fixtures/tensor_file
run image tests/fixtures/image
run data_file tests/fixtures/data tests/fixtures/data_index
run prepare tests/fixtures/data tests/fixtures/data_index
run sample_index tests/fixtures/data_index
run tar tests/fixtures/tar
run ledger tests/fixtures/ledger
