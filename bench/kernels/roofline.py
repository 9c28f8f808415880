#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks beside the roofs of their device: a Markdown table of what Google Benchmark wrote as JSON.

    bench/kernels/roofline.py ROOFS.json FILE.json...

ROOFS.json is the output of bench_kernels_roofs. Columns: time, GB/s and its share of the copy's rate, GFLOP/s and its share
of the product's of the same width; a benchmark names its width as bits:16 or bits:32.
"""

import json
import pathlib
import re
import sys

MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}


def cases(path):
    """What ran, of repetitions the median. A program that did not come to its end has left nothing."""
    try:
        benchmarks = json.loads(pathlib.Path(path).read_text())["benchmarks"]
    except (OSError, ValueError):
        return []
    return [case for case in benchmarks if case.get("aggregate_name") == "median"] or benchmarks


def bits_of(name):
    match = re.search(r"bits:(\d+)", name)
    return int(match.group(1)) if match else 32


def share(value, roof):
    if not value:
        return " | "
    return f"{value:,.1f} | {100 * value / roof:.0f} %" if roof else f"{value:,.1f} | "


def main(roofs_path, *paths):
    roofs = cases(roofs_path)
    copy = max((case["GB_per_s"] for case in roofs if case["name"].startswith("copy/n:134217728")), default=None)
    products = {bits_of(case["name"]): case["gflop_per_s"] for case in roofs if case["name"].startswith("product/")}
    rates = [f"copies {copy:,.0f} GB/s"] if copy else []
    rates += [f"matrix products in {bits} bits {rate / 1e3:,.1f} TFLOP/s" for bits, rate in products.items()]
    print(f"Roofs: {', '.join(rates) or 'not measured'}.\n")
    print("| benchmark | ms | GB/s | of the copy | GFLOP/s | of the product |\n|---|--:|--:|--:|--:|--:|")
    for path in paths:
        for case in cases(path) or [{"name": "", "error_message": "no results"}]:
            name = re.sub(r"/(manual_time|real_time|process_time)|_median$", "", case["name"])
            title = f"| {pathlib.Path(path).stem} `{name}` |"
            if "error_message" in case:
                print(f"{title} {case['error_message']} | | | | |")
                continue
            milliseconds = case["real_time"] * MILLISECONDS[case["time_unit"]]
            moved = share(case.get("GB_per_s"), copy)
            computed = share(case.get("gflop_per_s"), products.get(bits_of(name)))
            print(f"{title} {milliseconds:.3g} | {moved} | {computed} |")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
