#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the launches of the emulated tests to kernel_budgets.toml: each kernel that is built, and each that has a budget,
is launched, with at most its dynamic shared memory, and no kernel is launched that has no budget.

    launch_budgets.py FOLDER PROGRAM...     what the tests noted there (kernels/device/host_launch_log.h); the tests
"""
import collections
import pathlib
import re
import subprocess
import sys

import kernel_budgets
from kernel_budgets import kernel_code


def launched(folder):
    """{(path of the source file, symbol of the kernel): the most bytes of shared memory it was launched with}"""
    most = collections.Counter()
    for log in folder.iterdir():
        for line in log.read_text().splitlines():
            path, symbol, shared_bytes = line.split("\t")
            most[path, symbol] = max(most[path, symbol], int(shared_bytes))
    return most


def kernels_among(listing):
    """The symbols, in what nm prints, of functions called ..._kernel; of a template, each instance."""
    # What is local to a kernel begins with _ZZ, and a suffix is a part or a copy of one.
    symbols = re.findall(r" [tTwW] (_Z(?!Z)\w*_kernel\w*)$", listing, re.MULTILINE)
    names = kernel_code.short_names(symbols)
    return {symbol for symbol in symbols if re.fullmatch(r"\w+_kernel(<.*>)?", names[symbol])}


def main():
    folder, *programs = sys.argv[1:]
    launches = launched(pathlib.Path(folder))
    listing = subprocess.run(["nm", *programs], check=True, capture_output=True, text=True).stdout
    unlaunched = kernels_among(listing) - {symbol for _, symbol in launches}
    names = kernel_code.short_names([*unlaunched, *(symbol for _, symbol in launches)])
    budgets = kernel_budgets.Budgets(kernel_budgets.TABLE)
    unused = {(source, pattern) for source, patterns in budgets.files.items() for pattern in patterns}
    failures = 0
    for (path, symbol), shared_bytes in sorted(launches.items()):
        source = next(filter(path.endswith, budgets.files), path)
        print(f"{source}: {names[symbol]}: {shared_bytes} bytes of shared memory")
        found = budgets.of(source, names[symbol])
        if not found:
            print("    has no budget. Add one.")
            failures += 1
            continue
        pattern, budget = found
        unused.discard((source, pattern))
        if shared_bytes > budget["dynamic_shared"]:
            print(f"    budget {budget['dynamic_shared']}")
            failures += 1
    for source, pattern in sorted(unused):
        print(f"{source}: '{pattern}' has a budget but is launched by no emulated test. Write one.")
        failures += 1
    for symbol in sorted(unlaunched):
        print(f"{names[symbol]} ({symbol}) is built but launched by no emulated test. Write one.")
        failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
