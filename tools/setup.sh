#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the build needs and nothing else: Debian packages system-wide (as root or through sudo), everything else
# in .deps/ of this repository. Each step is skipped when it was done before, so a second call takes a moment.
#   tools/setup.sh [--quick | --test]     --quick (default): build and quick start; --test: the tests' oracles too
set -euo pipefail
cd "$(dirname "$0")/.."
mode="${1:---quick}"

torch_version=2.11.0
cuda_runtime_version=13.0.96      # the CUDA 13 wheel of LibTorch loads these two libraries even on a machine without a GPU
cuda_cupti_version=13.0.85
rwkv_version=0.8.32
scikit_learn_version=1.7.2
disassembler_version=13.2.51      # of GPU code; --test: a CUDA Toolkit may come without one
vocabulary_sha256=e6dee3d4e31b4d5c40ac99508ac6c701ceef4bed681bf2167ce9a908552bca89    # LF line ends

packages=(g++ cmake ninja-build ccache make git unzip ca-certificates python3 python3-pip
  libopenmpi-dev openmpi-bin libhdf5-openmpi-dev libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev
  libsimdjson-dev nlohmann-json3-dev libturbojpeg0-dev libjpeg62-turbo-dev libpng-dev libwebp-dev libgif-dev zlib1g-dev
  python3-pil python3-numpy openclipart-png procps)
test_packages=(libgtest-dev libgmock-dev libbenchmark-dev python3-h5py clang-format clang-tidy clang
  libclang-rt-14-dev)
[ "$mode" != --test ] || packages+=("${test_packages[@]}")

say() { printf 'setup: %s\n' "$*"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${#missing[@]} Debian packages"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

deps=$PWD/.deps
mkdir -p "$deps"
# unpack NAME==VERSION MEMBERS... : takes files out of a wheel without running or installing anything.
unpack() {
  local requirement="$1" wheels
  shift
  wheels=$(mktemp -d "$deps/wheel.XXXXXX")
  say "fetching $requirement"
  /usr/bin/python3 -m pip download --quiet --no-deps --only-binary=:all: -d "$wheels" "$requirement"
  unzip -q -o "$wheels"/*.whl "$@" -d "$deps/python"
  rm -rf "$wheels"
}
# once STAMP COMMAND... : runs the command unless it succeeded before with the same stamp.
once() {
  local stamp="$deps/.done-$1"
  shift
  [ -e "$stamp" ] || { "$@" && touch "$stamp"; }
}

fetch_libtorch() {
  unpack "torch==$torch_version" 'torch/lib/*' 'torch/include/*'
}
fetch_cuda_runtime() {
  unpack "nvidia-cuda-runtime==$cuda_runtime_version" 'nvidia/cu13/lib/*'
  unpack "nvidia-cuda-cupti==$cuda_cupti_version" 'nvidia/cu13/lib/*'
}
fetch_vocabulary() {
  unpack "rwkv==$rwkv_version" 'rwkv/rwkv_vocab_v20230424.txt'
  tr -d '\r' <"$deps/python/rwkv/rwkv_vocab_v20230424.txt" >"$deps/vocabulary.partial"
  echo "$vocabulary_sha256  $deps/vocabulary.partial" | sha256sum --check --quiet
  mv "$deps/vocabulary.partial" "$deps/rwkv_vocab_v20230424.txt"
}
fetch_digits() {
  unpack "scikit-learn==$scikit_learn_version" 'sklearn/datasets/data/digits.csv.gz'
}
fetch_disassembler() {
  unpack "nvidia-cuda-nvdisasm==$disassembler_version" 'nvidia/cu13/bin/nvdisasm'
  chmod +x "$deps/python/nvidia/cu13/bin/nvdisasm"
}

once "torch-$torch_version" fetch_libtorch
once "cuda-$cuda_runtime_version-$cuda_cupti_version" fetch_cuda_runtime
once "vocabulary-$rwkv_version" fetch_vocabulary
once "digits-$scikit_learn_version" fetch_digits
[ "$mode" != --test ] || once "disassembler-$disassembler_version" fetch_disassembler
