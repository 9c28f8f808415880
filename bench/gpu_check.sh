#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that only a GPU can show, in one go of less than 8 minutes beside the build: the tests labelled gpu, the kernels
# under compute-sanitizer, the kernel benchmarks on the GPU beside LibTorch's operations, and a profile of the recurrence. Writes
# bench/results/<gpu>.md, and ends with 1 when a part failed; a part whose tool is missing is named as such.
#   bench/gpu_check.sh [BUILD]      BUILD: folder of a CUDA build (default build-cuda-release, built first when its tests are
#                                   missing); LibTorch_ROOT: where LibTorch with CUDA's libraries is, when not in .deps/python
set -uo pipefail
cd "$(dirname "$0")/.."
build="${1:-build-cuda-release}"
command -v nvidia-smi >/dev/null || { echo 'gpu_check: no nvidia-smi: this needs a GPU and its driver.'; exit 1; }
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
report="bench/results/$(echo "$gpu" | tr 'A-Z ' 'a-z_' | tr -cd 'a-z0-9_').md"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

if [ ! -x "$build/test_kernels_cuda" ]; then
  cmake --preset cuda-release -B "$build" -DCMAKE_CUDA_ARCHITECTURES=native -DVRWKV_BUILD_BENCH=ON \
    ${LibTorch_ROOT:+-DLibTorch_ROOT="$LibTorch_ROOT"} || exit 1
  cmake --build "$build" || exit 1
fi

say() { printf '%s\n' "$*" >>"$report"; }
# part TITLE SECONDS COMMAND... : runs within the limit; its last lines go into the report.
part() {
  local title="$1" limit="$2" status=0 begin=$SECONDS
  shift 2
  echo "== $title"
  timeout "$limit" "$@" >"$work/log" 2>&1 || status=$?
  say "" "## $title" "" "Exit $status after $((SECONDS - begin)) s: \`$*\`" ""
  say '```' "$(tail -n 60 "$work/log" | cut -c1-200)" '```'
  [ "$status" = 0 ] || failed=1
}
# with TOOL TITLE SECONDS COMMAND... : the same, when the tool is there.
with() {
  local tool="$1"
  shift
  if command -v "$tool" >/dev/null; then part "$@"; else say "" "## $1" "" "Not run: $tool is not installed."; fi
}
bench() { part "$1" "$2" "$build/bench_kernels_$3" --device=cuda:0 --benchmark_min_time=0.2 "${@:4}"; }

mkdir -p bench/results
: >"$report"
say "# $gpu" "" "$(nvidia-smi --query-gpu=driver_version,memory.total,clocks.max.sm --format=csv,noheader), commit $(git rev-parse --short HEAD)," \
  "$(date -u +%F). Written by \`bench/gpu_check.sh\`."
part 'Tests on the GPU' 120 ctest --test-dir "$build" -L gpu --output-on-failure --no-tests=error
for tool in memcheck racecheck synccheck; do
  with compute-sanitizer "compute-sanitizer $tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 1 \
    "$build/test_kernels_cuda" --gtest_filter='*Wkv*B1_T1_*:*T48_H3*'
done
bench 'WKV-7' 60 wkv7 --benchmark_filter=for_gpus
bench 'What opens the mixes' 45 shift_mix
bench 'Around the recurrence' 45 time_mix
with ncu 'Profile of WKV-7' 60 ncu --set basic --kernel-name-base demangled --launch-count 4 \
  "$build/bench_kernels_wkv7" --device=cuda:0 --benchmark_filter='for_gpus.*T:2048.*bits:16' --benchmark_min_time=0.01
echo "gpu_check: $report"
exit "$failed"
