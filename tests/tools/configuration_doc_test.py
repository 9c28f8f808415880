#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds docs/configuration.md to what the program reads.

    tests/tools/configuration_doc_test.py PROGRAM [UNITTEST ARGUMENTS...]

PROGRAM is vrwkv-dist. Its `check --json` is the truth: the page has a row for each key that it prints for configs/*.toml,
and the default that it fills in.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
PROGRAM = "build/vrwkv-dist"

# Every key without a default and nothing else; all encoders at their published sizes.
MINIMAL = """
[model]
n_layer = 2
n_embd = 64
[vision]
tokens_per_image = 64
[vision.dinov2]
[vision.siglip]
[vision.sam]
[data]
file = "mix.json"
[train]
stage = 1
steps = 1
global_batch_size = 1
micro_batch_size = 1
[optimizer]
learning_rate = 1e-3
[run]
directory = "run"
"""


def flatten(table, prefix=""):
    """Nested tables as a dictionary from "table.key" to value."""
    values = {}
    for key, value in table.items():
        values.update(flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return values


def printed_keys(config):
    """What `check --json` says of a configuration file."""
    output = subprocess.run([PROGRAM, "check", "--json", str(config)], check=True, capture_output=True, text=True)
    return flatten(json.loads(output.stdout))


def documented_keys():
    """"table.key" -> the cell of its default; the rows of a table stand under its heading "## [table]"."""
    cells, table = {}, None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = re.fullmatch(r"## \[([\w.]+)\]", line)
            table = heading.group(1) if heading else None
        row = re.match(r"\| `(\w+)` \|", line)
        if table and row:
            cells[f"{table}.{row.group(1)}"] = line.split(" | ")[2]
    return cells


class ConfigurationDoc(unittest.TestCase):
    def test_there_are_configurations(self):
        self.assertTrue(CONFIGS)

    def test_every_key_of_the_configurations_has_a_row(self):
        for config in CONFIGS:
            with self.subTest(config=config.name):
                self.assertEqual(sorted(printed_keys(config).keys() - documented_keys().keys()), [])

    def test_every_row_is_a_key(self):
        known = set().union(*(printed_keys(config) for config in CONFIGS))
        self.assertEqual(sorted(documented_keys().keys() - known), [])

    def test_required_keys_and_defaults(self):
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder) / "minimal.toml"
            config.write_text(MINIMAL, encoding="utf-8")
            printed = printed_keys(config)
        given = flatten(tomllib.loads(MINIMAL))
        for key, cell in documented_keys().items():
            with self.subTest(key=key):
                self.assertEqual("required" in cell, key in given)
                value = re.fullmatch(r"`(.*)`", cell)    # other cells say the default in words
                if value:
                    self.assertEqual(tomllib.loads(f"value = {value.group(1)}")["value"], printed[key])


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else PROGRAM
    unittest.main()
