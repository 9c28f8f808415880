#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles every .cu file under kernels/ and holds each kernel to its budget in kernel_budgets.toml. Needs no GPU.

    kernel_budgets.py ROOT [--nvcc NVCC] [--cache FOLDER] [--architectures 80 90] [--files kernels/wkv7/wkv7_cuda.cu]

A kernel without a budget is a failure, and so is a budget without a kernel. Prints what each kernel uses, over all
architectures the most, as a line that can be copied into the table.
"""
import argparse
import concurrent.futures
import fnmatch
import os
import pathlib
import sys
import tomllib

TABLE = pathlib.Path(__file__).with_suffix(".toml")
sys.path.insert(0, str(TABLE.parents[2] / "tools"))
import kernel_code    # noqa: E402

# Of a streaming multiprocessor: threads, blocks, bytes of shared memory; and the bytes one block can have.
LIMITS = {
    80: (2048, 32, 164 * 1024, 163 * 1024),
    86: (1536, 16, 100 * 1024, 99 * 1024),
    89: (1536, 24, 100 * 1024, 99 * 1024),
    90: (2048, 32, 228 * 1024, 227 * 1024),
    100: (2048, 32, 228 * 1024, 227 * 1024),
    120: (1536, 24, 100 * 1024, 99 * 1024),
}
REGISTERS = 65536            # of a multiprocessor, given to warps in pieces of 256
RESERVED_SHARED = 1024       # by the system, for each block

# What a budget says when it does not say otherwise; `registers` it has to say.
DEFAULTS = {"spilled": 8, "local": 8, "local_loads": 2, "static_shared": 0, "dynamic_shared": 0, "hmma": 0,
            "barriers": 0, "blocks": 1, "architectures": list(kernel_code.ARCHITECTURES)}
AT_MOST = ("registers", "spilled", "local", "static_shared", "local_loads")
EXACTLY = ("hmma", "barriers")    # fewer is a product or a wait that got lost


def used_by(kernel):
    return {"threads": kernel.threads, "registers": kernel.registers, "spilled": kernel.spilled_bytes,
            "local": kernel.local_bytes, "static_shared": kernel.static_shared_bytes, "hmma": kernel.count("HMMA"),
            "barriers": kernel.count("BAR"), "local_loads": kernel.count("LDL")}


def blocks_at_once(budget, used, architecture):
    """How many blocks a multiprocessor holds; 0 when it cannot hold one."""
    threads, blocks, shared, shared_of_block = LIMITS[architecture]
    warps = -(-used["threads"] // 32)
    bytes_of_block = budget["dynamic_shared"] + used["static_shared"]
    if bytes_of_block > shared_of_block:
        return 0
    registers_of_block = warps * (-(-used["registers"] * 32 // 256) * 256)
    return min(blocks, threads // (warps * 32), REGISTERS // registers_of_block,
               shared // (bytes_of_block + RESERVED_SHARED))


def complaints(budget, used, architecture):
    for key in AT_MOST:
        if used[key] > budget[key]:
            yield f"{key} {used[key]}, budget {budget[key]}"
    for key in EXACTLY:
        least, most = budget[key] if isinstance(budget[key], list) else (budget[key], budget[key])
        if not least <= used[key] <= most:
            yield f"{key} {used[key]}, budget {budget[key]}"
    if used["threads"] == 0:
        yield "it does not say how many threads it has (__launch_bounds__)"
        return
    blocks = blocks_at_once(budget, used, architecture)
    if architecture in budget["architectures"] and blocks < budget["blocks"]:
        yield f"{blocks} blocks fit a multiprocessor, budget at least {budget['blocks']}"


class Budgets:
    def __init__(self, path):
        self.path = path
        self.files = tomllib.loads(path.read_text())
        for source, budgets in self.files.items():
            for pattern, budget in budgets.items():
                unknown = budget.keys() - DEFAULTS.keys() - {"registers"}
                if unknown or "registers" not in budget:
                    raise SystemExit(f"{path}: {source}: '{pattern}': no registers, or unknown keys {sorted(unknown)}")

    def of(self, source, kernel):
        """The first whose pattern fits: (pattern, budget), or None."""
        for pattern, budget in self.files.get(source, {}).items():
            if fnmatch.fnmatchcase(kernel, pattern):
                return pattern, DEFAULTS | budget
        return None


def toml_line(name, uses):
    most = {key: max(use[key] for use in uses) for key in uses[0]}
    threads = most.pop("threads")
    for key in EXACTLY:
        least = min(use[key] for use in uses)
        most[key] = most[key] if least == most[key] else [least, most[key]]
    budget = ", ".join(f"{key} = {value}" for key, value in most.items() if value)
    return f'"{name}" = {{{budget}}}    # {threads} threads'


def check(source, compiled, budgets):
    """`compiled` is {architecture: {name: Kernel}}. Prints the file's kernels; gives the number of failures."""
    failures, fitting = 0, set()
    for name in sorted({name for kernels in compiled.values() for name in kernels}):
        pattern, budget = budgets.of(source, name) or (None, DEFAULTS)
        used = {architecture: used_by(kernels[name]) for architecture, kernels in compiled.items() if name in kernels}
        print(toml_line(name, list(used.values())))
        if pattern is None:
            print("    has no budget. Add one.")
            failures += 1
            continue
        fitting.add(pattern)
        for architecture, use in used.items():
            for complaint in complaints(budget, use, architecture):
                print(f"    sm_{architecture}: {complaint}")
                failures += 1
    for pattern in budgets.files.get(source, {}).keys() - fitting:
        print(f'    "{pattern}" has a budget, but no such kernel is compiled. Remove it.')
        failures += 1
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--nvcc")
    parser.add_argument("--cache")
    parser.add_argument("--architectures", type=int, nargs="+", default=kernel_code.ARCHITECTURES)
    parser.add_argument("--files", nargs="+")
    options = parser.parse_args()
    compiler = kernel_code.Compiler(options.root, options.nvcc, options.cache)
    budgets = Budgets(TABLE)
    present = sorted(str(path.relative_to(options.root)) for path in options.root.glob("kernels/**/*.cu"))
    sources = options.files or present
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = {source: {architecture: pool.submit(compiler.kernels, source, architecture)
                            for architecture in options.architectures} for source in sources}
        for source, futures in waiting.items():
            print(f'\n["{source}"]', flush=True)
            failures += check(source, {key: future.result() for key, future in futures.items()}, budgets)
    for source in budgets.files.keys() - set(present):
        print(f"{source} has budgets, but there is no such file. Remove them.")
        failures += 1
    print(f"{failures} failures" if failures else "all within their budgets")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
