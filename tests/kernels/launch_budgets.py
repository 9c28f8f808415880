#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the launches of the emulated tests to kernel_budgets.toml: each kernel with a budget is launched, with at most
its dynamic shared memory, and no kernel is launched that has no budget.

    launch_budgets.py FOLDER        what the tests noted there (kernels/device/host_launch_log.h)
"""
import collections
import pathlib
import sys

import kernel_budgets
from kernel_budgets import kernel_code


def launched(folder):
    """{(path of the source file, kernel): the most bytes of shared memory it was launched with}"""
    most = collections.Counter()
    for log in folder.iterdir():
        for line in log.read_text().splitlines():
            path, symbol, shared_bytes = line.split("\t")
            most[path, symbol] = max(most[path, symbol], int(shared_bytes))
    names = kernel_code.short_names([symbol for _, symbol in most])
    return {(path, names[symbol]): shared_bytes for (path, symbol), shared_bytes in most.items()}


def main():
    budgets = kernel_budgets.Budgets(kernel_budgets.TABLE)
    unlaunched = {(source, pattern) for source, patterns in budgets.files.items() for pattern in patterns}
    failures = 0
    for (path, kernel), shared_bytes in sorted(launched(pathlib.Path(sys.argv[1])).items()):
        source = next(filter(path.endswith, budgets.files), path)
        print(f"{source}: {kernel}: {shared_bytes} bytes of shared memory")
        found = budgets.of(source, kernel)
        if not found:
            print("    has no budget. Add one.")
            failures += 1
            continue
        pattern, budget = found
        unlaunched.discard((source, pattern))
        if shared_bytes > budget["dynamic_shared"]:
            print(f"    budget {budget['dynamic_shared']}")
            failures += 1
    for source, pattern in sorted(unlaunched):
        print(f"{source}: '{pattern}' is launched by no emulated test. Write one.")
        failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
