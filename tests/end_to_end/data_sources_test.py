# SPDX-License-Identifier: Apache-2.0
"""data_sources_test.py PROGRAM: two [[data.source]] of equal image names, one of half the weight, through every command."""
import collections
import json
import signal

import ledger_file
import processes
import support

# An epoch is all of the one and half of the other: 26 + 22 samples, four steps of twelve.
FIRST, SECOND, BATCH, STEPS = 26, 44, 12, 8
EPOCH = FIRST + SECOND // 2


class DataSources(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.config = self.config_of("config.toml")
        self.prepare_once(self.run_unbroken)

    def run_unbroken(self):
        records = support.make_records(FIRST + SECOND)
        self.make_source("first", records[:FIRST], image_seed=1)
        self.make_source("second", records[FIRST:], image_seed=2)
        self.call("train", self.config, "--run-dir", "reference", ranks=2)

    def make_source(self, name, records, image_seed):
        support.make_images(self.folder / name / "images", image_seed)
        support.write_records(self.folder / name / "samples.json", records)

    def config_of(self, name, files=("first", "second"), images=("first", "second"), weights=(1, 0.5), **data):
        sources = [{"file": f"{file}/samples.json", "image_folder": f"{folder}/images", "weight": weight}
                   for file, folder, weight in zip(files, images, weights)]
        return self.write_config(name, data={"file": None, "image_folder": None, **data}, train={"steps": STEPS},
                                 checkpoint={"every_steps": 1}, **{"data.source": sources})

    def entries(self, run):
        return ledger_file.read(self.folder / run / "ledger.bin")[1]

    def test_index_and_check_tell_the_sources_apart(self):
        (self.folder / "second" / "images" / "photo.jpg").write_text("This is not a picture.")
        report = json.loads(self.call("data", "index", self.config, "--json").out)
        self.assertEqual(
            [[source[key] for key in ("samples", "samples_per_epoch", "bad_samples", "distinct_images")]
             for source in report["sources"]],
            [[FIRST, FIRST, 0, 5], [SECOND, SECOND // 2, 0, 5]])
        self.assertEqual(report["samples"], FIRST + SECOND)
        self.call("data", "check", self.config, ranks=2)
        found, listed = (json.loads((self.folder / "run" / "check" / name).read_text())
                         for name in ("report.json", "quarantine.json"))
        self.assertEqual((found["samples"], found["images"]), (FIRST + SECOND, 10))
        records = support.make_records(FIRST + SECOND)
        bad = [number for number in range(FIRST, FIRST + SECOND) if "photo.jpg" in support.images_of(records[number])]
        self.assertEqual([(sample["record"], sample["id"]) for sample in listed["samples"]],
                         [(number, f"sample-{number}") for number in bad])
        for finding in found["findings"]:
            self.assertIn("second/samples.json", finding["message"])
            self.assertIn("second/images/photo.jpg", finding["message"])

    def test_weights_say_how_often_a_sample_comes_up(self):
        times = collections.Counter()
        for epoch in range(2):
            steps = self.entries("reference")[epoch * EPOCH // BATCH:(epoch + 1) * EPOCH // BATCH]
            entered = collections.Counter(sum((sum(entry["micro_batches"], []) for entry in steps), []))
            self.assertEqual({record: count for record, count in entered.items() if record < FIRST},
                             {record: 1 for record in range(FIRST)})
            self.assertEqual(sum(record >= FIRST for record in entered.elements()), SECOND // 2)
            times += entered
        self.assertEqual(times, {record: 2 if record < FIRST else 1 for record in range(FIRST + SECOND)})
        proof = json.loads(self.call("data", "ledger", "reference", "verify", "--json").out)
        self.assertEqual([proof[key] for key in ("proven", "steps", "places", "samples", "whole_epochs", "replaced")],
                         [True, STEPS, STEPS * BATCH, FIRST + SECOND, 2, 0])

    def test_goes_on_with_the_same_bits(self):
        """In the middle of each epoch: at a request on three ranks, and killed on two, each time for other ranks."""
        self.call("train", self.config, "--max-steps", 3, ranks=3)
        job = self.start("train", self.config, ranks=2)
        self.wait_until(lambda: any(path.name >= "step-00000005" for path in self.checkpoints()), job)
        with job.paused():
            processes.send(signal.SIGKILL, [job.ranks()[1]])
        self.expect_killed(job)
        self.call("train", self.config, ranks=3)
        self.assert_same_run("run", "reference")
        self.assertEqual(self.entries("run"), self.entries("reference"))
        self.assertIn("proven: ", self.call("data", "ledger", "run", "verify").out)

    def test_goes_on_with_no_other_sources(self):
        kept = {file: file.read_bytes() for file in (self.folder / "reference").rglob("*") if file.is_file()}

        def refused(expect, ranks=None, **sources):
            other = self.config_of("other.toml", **sources)
            return self.call("train", other, "--run-dir", "reference", ranks=ranks, expect=expect).err

        self.assertIn("data.source[1].weight = 0.5 there, 0.75 here", refused(support.USAGE, ranks=2, weights=(1, 0.75)))
        self.assertIn("absent here", refused(support.USAGE, files=("first",)))
        self.assertIn("ledger.bin", refused(support.DATA_REFUSED, files=("second", "first")))
        self.assertEqual({file: file.read_bytes() for file in kept}, kept)

    def test_is_one_file_where_both_weigh_one(self):
        """Each sample takes its images from its own source: as one file that names them by folder."""
        records = support.make_records(FIRST + SECOND)
        for number, record in enumerate(records):
            folder = "first" if number < FIRST else "second"
            if "image" in record:
                record["image"] = [f"{folder}/images/{name}" for name in support.images_of(record)]
        support.write_records(self.folder / "both.json", records)
        for name, config in (
                ("one", self.write_config("one.toml", data={"file": "both.json", "image_folder": "."},
                                          train={"steps": STEPS})),
                ("two", self.config_of("two.toml", weights=(1, 1))),
                ("mixed-up", self.config_of("mixed-up.toml", images=("second", "first"), weights=(1, 1)))):
            self.call("train", config, "--run-dir", name, "--max-steps", 2)
        self.assert_same_run("two", "one")
        self.assertEqual(self.entries("mixed-up"), self.entries("one"))
        self.assertNotEqual(self.metrics("mixed-up"), self.metrics("one"))

    def test_trains_from_the_features_of_both(self):
        store = {"feature_type": "fp32", "features": "features"}
        config = self.config_of("features.toml", **store)
        made = json.loads(self.call("data", "features", config, "--images-per-shard", 3, "--json", ranks=2).out)
        self.assertEqual([made[key] for key in ("images", "encoded", "refused")], [10, 10, 0])
        self.call("train", config, ranks=2)
        self.assert_same_run("run", "reference")
        swapped = self.config_of("swapped.toml", images=("second", "first"), **store)
        self.assertIn("is not the file that the features of",
                      self.call("train", swapped, "--run-dir", "swapped", expect=support.DATA_REFUSED).err)


if __name__ == "__main__":
    support.main()
