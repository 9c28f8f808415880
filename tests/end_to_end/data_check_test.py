# SPDX-License-Identifier: Apache-2.0
"""data_check_test.py PROGRAM: `data check` says the same on any ranks, goes on after a kill, and training honours its list."""
import collections
import json
import os
import re
import signal

import numpy as np
from PIL import Image

import processes
import support

SAMPLES = 40
LONG = "word " * 200       # more than the context of 128 tokens


def turns(*texts, speakers=("human", "gpt")):
    return [{"from": speakers[place % 2], "value": text} for place, text in enumerate(texts)]


def with_image(name, *texts, **more):
    return {"image": name, "conversations": turns(*(texts or ("<image>\nWhat?", "It.")), **more)}


# What one sample each is made of, and the kinds that the report must give it; "!" where it cannot be trained on.
DEFECTS = (
    (with_image("nowhere.jpg"), ["missing!"]),
    (with_image("folder.jpg"), ["unreadable!"]),
    (with_image("text.jpg"), ["unreadable!"]),
    (with_image("empty.jpg"), ["unreadable!"]),
    (with_image("half.jpg"), ["truncated!"]),
    (with_image("half.png"), ["truncated!"]),
    (with_image("flipped.png"), ["unreadable!"]),
    (with_image("narrow.png"), ["too_small!"]),
    (with_image("vast.png"), ["too_large"]),
    (with_image(["photo.jpg", "nowhere.jpg"], "<image>\n<image>\nBoth?", "No."), ["missing!"]),
    (with_image("photo.jpg", "<image>\n<image>\nWhat?", "It."), ["image_marks!"]),
    (with_image("photo.jpg", "What?", "It."), ["image_marks!"]),
    (with_image("photo.jpg", "<image>\nWhat?", "  "), ["empty_answer!"]),
    (with_image("photo.jpg", "<image>\nWhat?", "It.", speakers=("human", "system")), ["odd_roles!"]),
    (with_image("photo.jpg", "Out", "<image>\nof turn.", speakers=("gpt", "human")), ["roles_out_of_turn"]),
    (with_image("photo.jpg", "<image>\nWhat do you see?"), ["no_target!"]),
    ({"conversations": []}, ["no_turns!"]),
    (with_image("photo.jpg", "<image>\n" + LONG, "Late."), ["context_too_short!"]),
    (with_image("photo.jpg", "<image>\nSay much.", LONG), ["over_long"]),
    ({"conversations": turns("What does <image> mean?", "A mark.")}, ["mark_as_text"]),
    (support.make_records(SAMPLES)[0], ["duplicate"]),
)


class DataCheck(support.ProgramTest):

    def setUp(self):
        super().setUp()
        defects = [{**record, "id": f"defect-{number}"} for number, (record, _) in enumerate(DEFECTS)]
        self.records = support.make_records(SAMPLES) + defects
        self.make_data(self.records)
        self.images = self.folder / "data" / "images"
        self.break_images()
        self.config = self.write_config(train={"steps": 6})

    def break_images(self):
        whole = (self.images / "drawing.png").read_bytes()
        middle = len(whole) // 2
        (self.images / "half.png").write_bytes(whole[:middle])
        (self.images / "flipped.png").write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:])
        (self.images / "half.jpg").write_bytes((self.images / "photo.jpg").read_bytes()[:-60])
        (self.images / "text.jpg").write_text("This is not a picture.")
        (self.images / "empty.jpg").touch()
        (self.images / "folder.jpg").mkdir()
        Image.new("RGB", (200, 9)).save(self.images / "narrow.png")
        Image.new("1", (4097, 4096)).save(self.images / "vast.png")

    def check(self, *options, ranks=None, output="check"):
        """Report and quarantine list, as bytes, and what was printed."""
        result = self.call("data", "check", self.config, "--output", output, "--json", *options, ranks=ranks)
        folder = self.folder / output
        self.assertEqual({path.name for path in folder.iterdir()}, {"report.json", "quarantine.json"})
        return [(folder / name).read_bytes() for name in ("report.json", "quarantine.json")], result

    def test_names_each_defect_and_says_the_same_on_any_ranks(self):
        files, result = self.check()
        for ranks in (1, 2, 3):
            self.assertEqual(self.check("--threads", 4 - ranks, ranks=ranks, output=f"on-{ranks}")[0], files)
        report, quarantine = map(json.loads, files)
        found = collections.defaultdict(list)
        for finding in report["findings"]:
            found[finding["record"]].append(finding["kind"] + "!" * finding["bad"])
            self.assertIn(f"'{self.records[finding['record']]['id']}'", finding["message"])
        expected = {SAMPLES + number: kinds for number, (_, kinds) in enumerate(DEFECTS)}
        self.assertEqual(dict(found), expected)
        bad = [record for record, kinds in expected.items() if kinds[0].endswith("!")]
        self.assertEqual([sample["record"] for sample in quarantine["samples"]], bad)
        self.assertEqual([sample["id"] for sample in quarantine["samples"]], [self.records[record]["id"] for record in bad])
        self.assertEqual((report["samples"], report["bad_samples"]), (len(self.records), len(bad)))
        names = {name for record in self.records if record["conversations"] for name in support.images_of(record)}
        self.assertLessEqual(report["images"], len(names))
        self.assertEqual(sum(part["count"] for part in report["tokens"]), len(self.records))
        summary = json.loads(result.out)
        self.assertEqual({key: summary[key] for key in summary if key in report},
                         {key: report[key] for key in report if key != "findings"})

    def test_training_honours_the_list(self):
        files, _ = self.check()
        bad = {sample["record"] for sample in json.loads(files[1])["samples"]}
        stop = ["--set", "data.on_bad_sample=stop", "--set", "data.quarantine=check/quarantine.json"]
        for run, ranks in (("alone", None), ("run", 2)):
            self.call("train", self.config, *stop, "--run-dir", run, ranks=ranks)
        self.assert_same_run("run", "alone")
        self.assertFalse((self.folder / "run" / "quarantine.json").exists(), "nothing new was found")
        entered = set()
        for step in range(1, 7):
            shown = json.loads(self.call("data", "ledger", "run", "--step", step, "--json").out)
            entered.update(*shown["micro_batches"])
        self.assertEqual(entered, set(range(len(self.records))) - bad)
        proof = json.loads(self.call("data", "ledger", "run", "verify", "--json").out)
        self.assertEqual((proof["proven"], proof["whole_epochs"]), (True, 1))
        self.assertGreaterEqual(proof["replaced"], len(bad))
        # Without the list the same settings stop at the first of them; and a list of other data is refused.
        self.call("train", self.config, *stop[:2], "--run-dir", "without", expect=support.DATA_REFUSED)
        support.write_records(self.folder / "data" / "samples.json", self.records[::-1])
        refused = self.call("train", self.config, *stop, "--run-dir", "other", ranks=2, expect=support.DATA_REFUSED)
        self.assertIn("other data", refused.err)

    def test_goes_on_after_a_kill(self):
        """Ten pieces of 256 images that take a while each; one rank of two is killed, three go on."""
        noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8)
        Image.fromarray(noise).save(self.images / "large.jpg", quality=95)
        names = [f"large-{number}.jpg" for number in range(2500)]
        for name in names:
            os.link(self.images / "large.jpg", self.images / name)
        records = [{**with_image(name), "id": name} for name in names]
        support.write_records(self.folder / "data" / "samples.json", self.records + records)
        job = self.start("data", "check", self.config, ranks=2)
        self.wait_until(lambda: self.pieces_done() >= 2, job)
        with job.paused():
            done = self.pieces_done()
            processes.send(signal.SIGKILL, [job.ranks()[1]])
        self.expect_killed(job)
        self.assertFalse((self.folder / "run" / "check" / "report.json").exists())
        went_on = self.call("data", "check", self.config, ranks=3)
        kept, pieces = map(int, re.search(r"going on: (\d+) of (\d+) pieces were done before", went_on.err).groups())
        self.assertGreaterEqual(kept, done)
        self.assertLess(kept, pieces)
        files, _ = self.check("--threads", 2)
        left = {path.name: path.read_bytes() for path in (self.folder / "run" / "check").iterdir()}
        self.assertEqual(left, dict(zip(("report.json", "quarantine.json"), files)))

    def test_a_rank_that_fails_says_so_before_the_others_are_done(self):
        """Rank 1 cannot write its journal; rank 0 can."""
        (self.folder / "check" / "done-0001.jsonl").mkdir(parents=True)
        failed = self.call("data", "check", self.config, "--output", "check", ranks=2, expect=support.FAILED)
        self.assertRegex(failed.err, r"E rank 1 \| this rank's share failed.*done-0001.jsonl: cannot be written")

    def pieces_done(self):
        """Whole lines of the journals."""
        folder = self.folder / "run" / "check"
        return sum(line.startswith(b"{") for path in folder.glob("done-*.jsonl")
                   for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))


if __name__ == "__main__":
    support.main()
