#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles the CUDA kernels for given architectures and compares what ptxas reports with a budget. Needs no GPU.

    ptxas_budget.py NVCC SOURCE_ROOT ARCHITECTURE...        for example 80 90
"""
import re
import subprocess
import sys

# (kernel, head size): registers, bytes of local memory, bytes spilled to it. The backward keeps the states of a chunk in
# local memory on purpose: 17 tokens of head_size / 4 floats. At head size 128 its 512 threads have 128 registers each,
# of which the gradient takes 64; what it spills is read once a chunk.
BUDGET = {
    ("forward_kernel", 32): (72, 8, 8),
    ("forward_kernel", 64): (96, 16, 16),    # 16 on sm_100 alone, whose ptxas stops at 48 registers
    ("forward_kernel", 128): (128, 8, 8),
    ("backward_kernel", 32): (80, 17 * 32 + 8, 8),
    ("backward_kernel", 64): (128, 17 * 64 + 8, 8),
    ("backward_kernel", 128): (128, 17 * 128 + 192, 192),
}
SOURCE = "kernels/wkv7/wkv7_cuda.cu"


def ptxas_report(nvcc, root, architecture):
    """{(kernel, head size): (registers, stack bytes, spilled bytes)}"""
    command = [nvcc, "-std=c++17", "-O3", f"-arch=sm_{architecture}", f"-I{root}", "-Xptxas", "-v", "-cubin",
               "-o", "/dev/null", f"{root}/{SOURCE}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    entry = re.compile(r"Compiling entry function '\w*?(forward_kernel|backward_kernel)ILi(\d+)E.*?"
                       r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
                       r"Used (\d+) registers", re.DOTALL)
    report = {}
    for kernel, head_size, stack, stores, _, registers in entry.findall(text):
        report[kernel, int(head_size)] = (int(registers), int(stack), int(stores))
    return report


def main():
    nvcc, root, architectures = sys.argv[1], sys.argv[2], sys.argv[3:]
    failures = 0
    for architecture in architectures:
        report = ptxas_report(nvcc, root, architecture)
        for key, budget in BUDGET.items():
            if key not in report:
                print(f"sm_{architecture} {key}: ptxas did not report this kernel")
                failures += 1
                continue
            over = any(used > allowed for used, allowed in zip(report[key], budget))
            failures += over
            print(f"sm_{architecture} {key[0]}<{key[1]}>: registers, stack, spilled = {report[key]}, "
                  f"budget {budget}{'   OVER' if over else ''}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
