#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that only a GPU can show, in one go of less than 8 minutes beside the build: the tests labelled gpu, every kernel's
# benchmark on the GPU beside LibTorch's operations, the roofs of the device, the kernels under compute-sanitizer (the chunked ones
# first), rivals of the field, profiles. Each part has its share of the time, and what one leaves over goes to those behind it.
# Writes bench/results/<gpu>.md, and the benchmarks' JSON into BUILD/gpu_check/; ends with 1 when a part failed or, as the
# report names it, was stopped or not run: no test skipped, no tool missing, time left. Only rivals may be missing.
#   bench/gpu_check.sh [BUILD]      BUILD: folder of a CUDA build (default build-cuda-release, built first when its programs are
#                                   missing). LibTorch_ROOT: where LibTorch with CUDA's libraries is, when not in .deps/python.
#                                   PEERS_PYTHON: a Python with torch and flash-linear-attention (default python3)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
build="${1:-build-cuda-release}"
python="${PEERS_PYTHON:-python3}"
command -v nvidia-smi >/dev/null || { echo 'gpu_check: no nvidia-smi: this needs a GPU and its driver.'; exit 1; }
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
report="bench/results/$(echo "$gpu" | tr 'A-Z ' 'a-z_' | tr -cd 'a-z0-9_').md"
export CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES:-0}"
export VRWKV_REQUIRE_GPU=1    # tests that would be skipped where LibTorch sees no GPU fail

if [ ! -x "$build/test_kernels_cuda_recurrences" ] || [ ! -x "$build/bench_kernels_roofs" ]; then
  cmake --preset cuda-release -B "$build" -DCMAKE_CUDA_ARCHITECTURES=native -DVRWKV_BUILD_BENCH=ON \
    ${LibTorch_ROOT:+-DLibTorch_ROOT="$LibTorch_ROOT"} || exit 1
  cmake --build "$build" || exit 1
fi
json="$build/gpu_check"
rm -rf "$json"
mkdir -p "$json" bench/results || exit 1
log="$json/log"
failed=0
shares=460    # of all parts to come together: their seconds if none ends early
end=$((SECONDS + shares))    # of 480; a part that is stopped gets 5 more

say() { printf '%s\n' "$@" >>"$report"; }
# not_run TITLE SHARE WHY
not_run() { failed=1; shares=$((shares - $2)); say "" "## $1" "" "Not run: $3."; }
# part TITLE SHARE COMMAND... : runs it within its share of the time that is left; its last lines go into the report, with
# brief=1 only when it fails.
part() {
  local title="$1" share="$2" status=0 begin=$SECONDS
  local limit=$(((end - begin) * share / shares))
  if [ "$limit" -le 0 ]; then not_run "$title" "$share" 'no time is left'; return; fi
  shift 2
  shares=$((shares - share))
  echo "== $title"
  timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1 || status=$?
  say "" "## $title" "" "Exit $status after $((SECONDS - begin)) s of $limit: \`$*\`" ""
  case "$status" in 124 | 137) say 'Stopped: its share of the time was over.' "" ;; esac
  if [ "$status" != 0 ]; then failed=1; elif [ -n "${brief:-}" ]; then return; fi
  say '```' "$(tail -n 60 "$log" | cut -c1-200)" '```'
}
# with TOOL TITLE SHARE COMMAND... : the same, when the tool is there.
with() {
  local tool="$1"
  shift
  if command -v "$tool" >/dev/null; then part "$@"; else not_run "$1" "$2" "$tool is not installed"; fi
}
# sanitize SHARE PROGRAM FILTER : its kernels, ours alone, under each tool, which slow them down a hundredfold.
sanitize() {
  for tool in memcheck racecheck synccheck; do
    brief=1 with compute-sanitizer "compute-sanitizer $tool of $2, $3" "$1" compute-sanitizer --tool "$tool" \
      --error-exitcode 1 --kernel-name kns=vrwkv "$build/test_$2" --gtest_filter="$3"
  done
}
# bench PROGRAM SHARE FILTER [NAME] : writes NAME.json; the table comes later.
tables=()
bench() {
  local name="${4:-$1}"
  tables+=("$json/$name.json")
  brief=1 part "Benchmark $name" "$2" "$build/bench_kernels_$1" --device=cuda:0 --benchmark_min_time=0.1 \
    --benchmark_filter="$3" --benchmark_out="$json/$name.json" --benchmark_out_format=json
}

: >"$report"
say "# $gpu" "" "$(nvidia-smi --query-gpu=driver_version,memory.total,clocks.max.sm --format=csv,noheader | head -n 1)," \
  "commit $(git rev-parse --short HEAD), $(date -u +%F). Written by \`bench/gpu_check.sh\`."

part 'Tests on the GPU' 96 ctest --test-dir "$build" -L gpu --output-on-failure --no-tests=error
bench roofs 12 .
bench wkv7 18 for_gpus
VRWKV_WKV=fallback bench wkv7 18 'for_gpus.*bits:16' wkv7_fallback
bench row_wkv7 14 /B:8
bench wkv6 14 'for_gpus|T:512'
bench shift_mix 14 'T:(2048|16384)'
bench time_mix 14 'T:(2048|16384)'
bench head_cross_entropy 14 for_gpus
bench optimizer 8 '(fused|eager|blocks|pairwise).*n:(4194304|16777216)'
bench map_attention 8 side:64
large='*T512*:*T513*:*T2048*:*T4100*'
sanitize 20 kernels_cuda_recurrences "*Chunked*-$large"

rivals='Rivals of the field: WKV-7 at B 8, T 2,048, H 16'
if "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  brief=1 part "$rivals" 60 sh -c "$python bench/peers/wkv7.py --device cuda:0 --shape 8 2048 16 64 --seconds 45 \
    --program $build/bench_kernels_wkv7 >$json/rivals.json"
  tables+=("$json/rivals.json")
else
  shares=$((shares - 60))
  say "" "## $rivals" "" "Not run: $python has no torch that sees a GPU (and flash-linear-attention beside it)."
fi

say "" "## Beside the roofs" ""
python3 bench/kernels/roofline.py "${tables[@]}" >>"$report" 2>"$log" || { failed=1; say "$(cat "$log")"; }

with ncu 'Profile of WKV-7' 20 ncu --set basic --kernel-name 'regex:forward|backward|prepare' --launch-count 4 \
  "$build/bench_kernels_wkv7" --device=cuda:0 --benchmark_filter='for_gpus.*T:2048.*bits:16' --benchmark_min_time=0.01
with nsys 'Kernels of a time mix' 18 nsys profile --trace=cuda --stats=true --force-overwrite=true --output "$json/time_mix" \
  "$build/bench_kernels_time_mix" --device=cuda:0 --benchmark_filter='fused.*T:16384.*bits:16' --benchmark_min_time=0.05
sanitize 10 kernels_cuda "-$large"
sanitize 8 kernels_cuda_recurrences "-*Chunked*:$large"
sanitize 6 kernels_cuda_inputs "-$large"
echo "gpu_check: $report"
exit "$failed"
