#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a bare machine to a model that has learned from real images: sets up, builds, trains both stages on two ranks,
# loses one to SIGKILL on the way, resumes, and asks questions about images that it has not seen.
# Leaves runs/quickstart-stage1 and runs/quickstart-stage2; a second call finds them finished.
set -euo pipefail
cd "$(dirname "$0")/.."

ranks=2
data=.deps/quickstart-data
stage1=runs/quickstart-stage1
stage2=runs/quickstart-stage2
summary=build/quickstart-summary.txt
kill_after_step=150

heading() { printf '\n== %s  [%d:%02d]\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }
# show COMMAND...: prints the command as a user would type it, then runs it.
show() { printf '$ %s\n' "$*"; "$@"; }
vrwkv() { show tools/mpirun.sh -n "$ranks" build/vrwkv-dist "$@"; }
completed_steps() { if [ -e "$1/metrics.jsonl" ]; then wc -l <"$1/metrics.jsonl"; else echo 0; fi; }

heading 'Set-up: Debian packages, LibTorch, vocabulary, digits'
tools/setup.sh --quick

heading 'Build'
configure=()
[ -e build/CMakeCache.txt ] || configure=(-DVRWKV_BUILD_TESTS=OFF)
mkdir -p build
cmake --preset cpu-release "${configure[@]}" >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
cmake --build --preset cpu-release --target vrwkv-dist

heading 'Data: playing cards and handwritten digits'
cards=$(dpkg -L openclipart-png | grep '/games/cards$')
/usr/bin/python3 tools/make_quickstart_data.py --cards "$cards" \
  --digits .deps/python/sklearn/datasets/data/digits.csv.gz --output "$data"

heading "Stage 1: captions, $ranks ranks"
vrwkv train configs/quickstart-stage1.toml

heading "Stage 2: questions, $ranks ranks"
if [ "$(completed_steps "$stage2")" -lt "$kill_after_step" ]; then
  vrwkv train configs/quickstart-stage2.toml &
  mpirun_pid=$!
  while kill -0 "$mpirun_pid" 2>/dev/null && [ "$(completed_steps "$stage2")" -lt "$kill_after_step" ]; do sleep 0.2; done
  victim=$(pgrep --full 'vrwkv-dist train' --parent "$(pgrep --parent "$mpirun_pid" --full mpirun || echo "$mpirun_pid")" |
    tail -n 1)
  printf '\n*** kill -9 %s, one of the ranks, after step %s\n' "$victim" "$(completed_steps "$stage2")"
  kill -KILL "$victim"
  status=0; wait "$mpirun_pid" || status=$?
  printf '*** mpirun ended with exit code %s; the same command resumes\n\n' "$status"
fi
vrwkv train configs/quickstart-stage2.toml

newest=$(ls -d "$stage2"/checkpoints/step-* | tail -n 1)
if [ ! "$summary" -nt "$newest/manifest.json" ]; then
  heading 'Questions about images that training has not seen'
  vrwkv eval configs/quickstart-stage1.toml --output build/quickstart-captions.jsonl
  vrwkv eval configs/quickstart-stage2.toml --output build/quickstart-answers.jsonl
  vrwkv eval configs/quickstart-stage2.toml --blank-images --examples 0 --output build/quickstart-blank.jsonl
  /usr/bin/python3 tools/quickstart_summary.py build/quickstart-captions.jsonl build/quickstart-answers.jsonl \
    build/quickstart-blank.jsonl >"$summary.partial"
  mv "$summary.partial" "$summary"
fi
heading 'What it learned'
cat "$summary"
