#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the quick start's data and checks what the quick start relies on."""
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "tools" / "make_quickstart_data.py"
CARDS = pathlib.Path("/usr/share/openclipart/png/recreation/games/cards")
DIGITS = ROOT / ".deps" / "python" / "sklearn" / "datasets" / "data" / "digits.csv.gz"
NAMES = ("stage1.json", "stage1-heldout.json", "stage2.json", "stage2-heldout.json")


def make(output):
    command = [sys.executable, PROGRAM, "--cards", CARDS, "--digits", DIGITS, "--output", output]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def image_files(sample):
    files = sample.get("image", [])
    return [files] if isinstance(files, str) else files


def answer(sample):
    return sample["conversations"][1]["value"]


class QuickstartData(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name) / "data"
        made = make(cls.folder)
        assert made.returncode == 0, made.stderr
        cls.samples = {name: json.loads((cls.folder / name).read_text(encoding="utf-8")) for name in NAMES}

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_every_sample_is_one_question_with_its_images(self):
        for name, samples in self.samples.items():
            for sample in samples:
                human, gpt = sample["conversations"]
                self.assertEqual((human["from"], gpt["from"]), ("human", "gpt"))
                self.assertEqual(human["value"].count("<image>"), len(image_files(sample)), name)
                self.assertTrue(gpt["value"])
                for file in image_files(sample):
                    self.assertTrue((self.folder / "images" / file).is_file(), file)

    def test_images_are_real_files_of_both_kinds(self):
        files = {file for samples in self.samples.values() for sample in samples for file in image_files(sample)}
        kinds = collections.Counter()
        for file in sorted(files)[::50]:
            with Image.open(self.folder / "images" / file) as image:
                kinds[image.format, image.mode, image.size] += 1
        self.assertEqual(set(kinds), {("JPEG", "RGB", (48, 64)), ("PNG", "L", (32, 32))})

    def test_held_out_images_are_never_trained_on(self):
        trained, held_out = (
            {file for name in names for sample in self.samples[name] for file in image_files(sample)}
            for names in (("stage1.json", "stage2.json"), ("stage1-heldout.json", "stage2-heldout.json")))
        self.assertFalse(trained & held_out)

    def test_stated_chance_is_that_of_the_best_constant_answer(self):
        answers = collections.defaultdict(collections.Counter)
        chances = {}
        for name in ("stage1-heldout.json", "stage2-heldout.json"):
            for sample in self.samples[name]:
                answers[sample["kind"]][answer(sample)] += 1
                chances[sample["kind"]] = sample["chance"]
        for kind, counts in answers.items():
            self.assertAlmostEqual(max(counts.values()) / counts.total(), chances[kind], places=5, msg=kind)
        self.assertGreaterEqual(answers["digit"].total(), 200)

    def test_training_mixture_has_every_path(self):
        samples = self.samples["stage2.json"]
        text_only = sum(not image_files(sample) for sample in samples)
        self.assertTrue(0.05 < text_only / len(samples) < 0.07)
        self.assertTrue(any(len(image_files(sample)) == 2 for sample in samples))
        self.assertTrue(all("kind" not in sample for sample in samples))

    def test_a_second_call_changes_nothing_and_another_folder_gets_the_same_bytes(self):
        before = os.stat(self.folder)
        self.assertIn("nothing to do", make(self.folder).stdout)
        self.assertEqual(os.stat(self.folder).st_ino, before.st_ino)
        other = pathlib.Path(self.scratch.name) / "other"
        self.assertEqual(make(other).returncode, 0)
        subprocess.run(["diff", "-r", self.folder, other], check=True)

    def test_a_foreign_folder_is_left_alone(self):
        foreign = pathlib.Path(self.scratch.name) / "foreign"
        foreign.mkdir()
        (foreign / "thesis.txt").write_text("mine", encoding="utf-8")
        self.assertEqual(make(foreign).returncode, 2)
        self.assertTrue((foreign / "thesis.txt").is_file())


if __name__ == "__main__":
    if not CARDS.is_dir() or not DIGITS.is_file():
        print("skipped: the playing cards or the digits are not installed (tools/setup.sh installs them)")
        sys.exit(77)
    unittest.main()
