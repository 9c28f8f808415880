#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains the published sizes from random weights in the published formats (make_weights.py): the recipes with few steps and
# small batches, on CPUs. 24 GiB of memory, 25 GB of disk, about half an hour. Prints seconds and peak memory of each part.
#   bench/full_size/run.sh FOLDER          weights, runs and times.txt go there; weights that are there are taken
# `make quickstart` must have made its data; its pictures of playing cards are the images.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder="$(realpath -m "$1")"
data=$PWD/.deps/quickstart-data
mkdir -p "$folder"
[ -e "$folder/weights/RWKV-x070-World-1.5B-v3-20250127-ctx4096.pth" ] ||
  /usr/bin/python3 bench/full_size/make_weights.py "$folder/weights" 0b1 encoders 1b5
: >"$folder/times.txt"

# timed NAME COMMAND... : seconds, and the peak of the largest process.
timed() {
  local name="$1"
  shift
  echo "== $name"
  /usr/bin/time -o "$folder/time" -f '%e s, %M KiB' "$@"
  printf '%-24s %s\n' "$name" "$(cat "$folder/time")" | tee -a "$folder/times.txt"
}
# train NAME RECIPE RUN RANKS STEPS [--set ...] : G = ranks, one sample a micro-batch.
train() {
  local name="$1" recipe="$2" run="$3" ranks="$4" steps="$5"
  shift 5
  timed "$name" tools/mpirun.sh -n "$ranks" build/vrwkv-dist train "configs/visualrwkv-7.00-$recipe.toml" --run-dir "$folder/$run" --max-steps "$steps" \
    --set train.global_batch_size="$ranks" --set train.micro_batch_size=1 --set paths.image_folder="$data/images" \
    --set run.wait_limit_seconds=3600 "$@"
}
stage1=(--set paths.data_file="$data/stage1.json" --set paths.dinov2="$folder/weights/dinov2/pytorch_model.bin"
  --set paths.siglip="$folder/weights/siglip/open_clip_pytorch_model.bin" --set paths.sam="$folder/weights/sam_vit_b_01ec64.pth")
base01="$folder/weights/RWKV-x070-World-0.1B-v2.8-20241210-ctx4096.pth"
base15="$folder/weights/RWKV-x070-World-1.5B-v3-20250127-ctx4096.pth"

timed 'loading' build/bench_trainer_load "$base01" "$folder"/weights/{dinov2,siglip}/*.bin \
  "$folder/weights/sam_vit_b_01ec64.pth"
train '0.1B stage 1, 2 steps' 0b1-pretrain 0b1-pretrain 2 2 --set paths.language_model="$base01" "${stage1[@]}"
train '0.1B stage 1, resumed' 0b1-pretrain 0b1-pretrain 2 3 --set paths.language_model="$base01" "${stage1[@]}"
train '0.1B stage 2, 2 steps' 0b1-mix665k 0b1-mix665k 2 2 --set paths.initial_model="$folder/0b1-pretrain" \
  --set paths.data_file="$data/stage2.json"
train '0.1B stage 2, resumed' 0b1-mix665k 0b1-mix665k 2 3 --set paths.initial_model="$folder/0b1-pretrain" \
  --set paths.data_file="$data/stage2.json"
timed '0.1B export' build/vrwkv-dist checkpoint export "$folder/0b1-mix665k" --output "$folder/0b1.pth"
train '1.5B stage 1, 1 step' 1b5-pretrain 1b5-pretrain 1 1 --set paths.language_model="$base15" "${stage1[@]}" \
  --set train.global_batch_size=1
cat "$folder/times.txt"
