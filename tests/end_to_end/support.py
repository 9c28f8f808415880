# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: tiny data and configurations, the program, and its results as bits.

A test file ends in support.main() and is called as NAME_test.py PROGRAM [ARGUMENTS]; PROGRAM is vrwkv-dist.
"""
import json
import pathlib
import random
import shutil
import sys
import tempfile
import unittest

import h5py
import numpy as np
from PIL import Image

import processes

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MPIRUN = SOURCE / "tools" / "mpirun.sh"
PROGRAM = None             # path of vrwkv-dist, set by main()
ARGUMENTS = []             # what follows it on the command line

DONE, FAILED, USAGE, DATA_REFUSED, CHECKPOINT_DAMAGED, STOPPED_ON_REQUEST = 0, 1, 2, 3, 4, 75

# Twelve micro-batches a step; every key that the tests do not care about keeps its default.
TINY = {
    "model": {"n_layer": 2, "n_embd": 64, "vocabulary_size": 4096},
    "vision": {"tokens_per_image": 4},
    "vision.siglip": {"image_size": 16, "patch_size": 8, "width": 32, "depth": 2, "heads": 2,
                      "mlp_hidden": 64},
    "data": {"file": "data/samples.json", "image_folder": "data/images", "context_length": 128},
    "train": {"stage": 2, "steps": 6, "global_batch_size": 12, "micro_batch_size": 1, "seed": 7},
    "optimizer": {"learning_rate": 2e-3, "final_learning_rate": 1e-4, "warmup_steps": 2},
    "checkpoint": {"every_steps": 2},
    "run": {"directory": "run"},
}
IMAGES = ("photo.jpg", "drawing.png", "grey.png", "icon.gif", "poster.webp")


def make_images(folder, seed=20230424):
    """Writes IMAGES, each of another form, into the folder; another seed gives other pictures."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(seed)
    colours = noise.integers(0, 256, (24, 20, 4), dtype=np.uint8)
    Image.fromarray(colours[:, :, :3]).save(folder / "photo.jpg", quality=85)
    Image.fromarray(colours).save(folder / "drawing.png")
    Image.fromarray(colours[:, :, 0]).save(folder / "grey.png")
    Image.fromarray(colours[:16, :16, :3]).convert("P", palette=Image.ADAPTIVE).save(folder / "icon.gif")
    Image.fromarray(colours[:, :, :3]).save(folder / "poster.webp", quality=80)


def make_records(count=40):
    """LLaVA records: one image, two images, text only; one question or three."""
    choose = random.Random(20230424)
    words = ("red", "blue", "seven", "a small house", "three cats", "nothing at all")
    records = []
    for number in range(count):
        images = [IMAGES[(number + offset) % len(IMAGES)] for offset in ((0,), (0,), (0, 2), ())[number % 4]]
        turns = []
        for turn in range(3 if number % 5 == 0 else 1):
            marks = "<image>\n" * len(images) if turn == 0 else ""
            turns.append({"from": "human", "value": f"{marks}What is number {number}, part {turn + 1}?"})
            turns.append({"from": "gpt", "value": f"It is {choose.choice(words)}."})
        record = {"id": f"sample-{number}", "conversations": turns}
        if images:
            record["image"] = images[0] if len(images) == 1 else images
        records.append(record)
    return records


def images_of(record):
    """The images of a record, by name."""
    images = record.get("image", [])
    return [images] if isinstance(images, str) else images


def write_records(file, records):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(records, indent=1), encoding="utf-8")


def toml_text(tables):
    """TOML of {"table.name": {key: value}}, or of a list of such tables; JSON's spelling of these values is TOML's too.

    A key of value None is left out.
    """
    def section(header, keys):
        return f"{header}\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items() if value is not None)
    return "\n".join("".join(section(f"[[{name}]]", keys) for keys in table) if isinstance(table, list)
                     else section(f"[{name}]", table) for name, table in tables.items())


class ProgramTest(unittest.TestCase):
    """A test with a temporary folder, `self.folder`, that is removed with every process that it started."""

    maxDiff = None
    _prepared = None       # what prepare_once() has left, for the class

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vrwkv-end-to-end-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.jobs = []
        self.addCleanup(lambda: [job.close() for job in self.jobs])

    def prepare_once(self, prepare):
        """Calls prepare() in the first test of the class; the others start with a copy of its files."""
        if self._prepared is not None:
            shutil.copytree(self._prepared, self.folder, dirs_exist_ok=True)
            return
        prepare()
        copy = pathlib.Path(tempfile.mkdtemp(prefix="vrwkv-end-to-end-"))
        self.addClassCleanup(shutil.rmtree, copy, ignore_errors=True)
        shutil.copytree(self.folder, copy, dirs_exist_ok=True)
        type(self)._prepared = copy

    # The program as a process.

    def start(self, *arguments, ranks=None):
        """Starts vrwkv-dist in the temporary folder: alone, or on that many ranks of mpirun."""
        launcher = [] if ranks is None else [MPIRUN, "-n", ranks]
        job = processes.Job([*launcher, PROGRAM, *arguments], self.folder)
        self.jobs.append(job)
        return job

    def call(self, *arguments, ranks=None, expect=DONE, limit=processes.LIMIT_S):
        """Runs vrwkv-dist to its end and requires its exit code."""
        job = self.start(*arguments, ranks=ranks)
        result = job.wait(limit)
        self.assertEqual(result.code, expect, job)
        return result

    def wait_until(self, condition, job, limit=processes.LIMIT_S, pause=0.01):
        """Waits while the job runs; its end before the condition is met fails the test."""
        def met():
            if condition():
                return True
            if not job.running():
                self.fail(f"ended too early: {job}")
            return False
        processes.wait_until(met, job, limit, pause)

    def expect_killed(self, job):
        """Waits for the end of a job that lost a rank, and of its other ranks."""
        ranks = job.ranks().values()
        code = job.wait(limit=30).code
        self.assertNotIn(code, (DONE, STOPPED_ON_REQUEST), job)
        # mpirun has sent SIGKILL to the others, but does not wait for them.
        processes.wait_until(lambda: not any(map(processes.is_alive, ranks)), "ranks outlive it", limit=10)

    # Files for it.

    def make_data(self, records=None):
        """Writes data/samples.json and data/images/, where the tiny configuration looks for them."""
        make_images(self.folder / "data" / "images")
        write_records(self.folder / "data" / "samples.json", make_records() if records is None else records)

    def write_config(self, name="config.toml", **tables):
        """Writes TINY with keys replaced, or left out by None: write_config(train={"steps": 8}). Returns its path."""
        merged = {table: {**keys, **tables.get(table, {})} for table, keys in TINY.items()}
        merged.update({table: keys for table, keys in tables.items() if table not in TINY})
        path = self.folder / name
        path.write_text(toml_text(merged), encoding="utf-8")
        return path

    # What it left.

    def metrics(self, run="run"):
        """The rows of metrics.jsonl without what a clock or the memory decides."""
        rows = [json.loads(line) for line in (self.folder / run / "metrics.jsonl").read_text().splitlines()]
        return [{key: value for key, value in row.items() if not key.endswith(("_seconds", "_bytes"))}
                for row in rows]

    def steps_done(self, run="run"):
        file = self.folder / run / "metrics.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def checkpoints(self, run="run"):
        """Committed checkpoints, oldest first."""
        return sorted(path for path in (self.folder / run / "checkpoints").glob("step-*") if not path.suffix)

    def state(self, run="run"):
        """Parameters, master weights and moments of the newest checkpoint: {"parameters/NAME": array}."""
        return read_state(self.checkpoints(run)[-1])

    def assert_same_state(self, left, right):
        self.assertEqual(left.keys(), right.keys())
        different = [name for name in left if left[name].shape != right[name].shape or
                     left[name].tobytes() != right[name].tobytes()]
        self.assertEqual(different, [], "these differ in bits")

    def assert_same_run(self, run, reference):
        """Both runs wrote the same rows, each step once, and ended in the same bits."""
        rows = self.metrics(reference)
        self.assertEqual([row["step"] for row in rows], list(range(1, len(rows) + 1)))
        self.assertEqual(self.metrics(run), rows)
        self.assertEqual(self.checkpoints(run)[-1].name, self.checkpoints(reference)[-1].name)
        self.assert_same_state(self.state(run), self.state(reference))


def read_state(checkpoint):
    """All virtual datasets of one checkpoint, whole."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    for file in manifest["files"]:       # HDF5 shows zeros where one is missing
        assert (checkpoint / file["name"]).stat().st_size == file["bytes"], file
    with h5py.File(checkpoint / "index.h5", "r") as index:
        return {f"{group}/{name}": dataset[...] for group in index for name, dataset in index[group].items()}


def main():
    """Runs the tests of the calling file."""
    global PROGRAM, ARGUMENTS
    PROGRAM = pathlib.Path(sys.argv[1]).resolve(strict=True)
    ARGUMENTS = sys.argv[2:]
    unittest.main(module="__main__", argv=sys.argv[:1], verbosity=2)
