# SPDX-License-Identifier: Apache-2.0
"""bad_data_test.py PROGRAM RANKS: data that cannot be used ends the run with 3 on all ranks, or is skipped and counted."""
import copy
import json
import struct

import support

SAMPLES = 24      # two steps see each of them once
VICTIM = 9        # one image, one question


def turns(question, answer):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def frame_ends(ledger):
    """Where the header and each entry of a ledger end."""
    ends = [8]
    while ends[-1] < len(ledger):
        ends.append(ends[-1] + 12 + struct.unpack_from("<I", ledger, ends[-1])[0])
    return ends[1:]


# What happens to the victim, and what the message says beside its id.
DEFECTS = {
    "mark without image": ({"conversations": turns("<image>\n<image>\nWhat?", "It.")}, "image"),
    "image without mark": ({"conversations": turns("What?", "It.")}, "image"),
    "missing image": ({"image": "nowhere.png"}, "nowhere.png"),
    "unreadable image": ({"image": "text.jpg"}, "text.jpg"),
    "truncated image": ({"image": "half.png"}, "half.png"),
    "empty answer": ({"conversations": turns("<image>\nWhat?", "")}, "answer"),
    "cut through an image": ({"conversations": turns("word " * 125 + "<image>\nWhat?", "It.")}, "128"),
    "cut before every target": ({"conversations": turns("<image>\n" + "word " * 200, "It.")}, "128"),
}


class BadData(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.ranks = int(support.ARGUMENTS[0])
        self.records = support.make_records(SAMPLES)
        self.make_data(self.records)
        images = self.folder / "data" / "images"
        (images / "text.jpg").write_text("This is not a picture.")
        drawing = (images / "drawing.png").read_bytes()
        (images / "half.png").write_bytes(drawing[: len(drawing) // 2])
        self.config = self.write_config(train={"steps": 2}, checkpoint={"every_steps": 1},
                                        data={**support.TINY["data"], "on_bad_sample": "stop"})

    def spoil(self, *defects):
        """Rewrites the data file with as many bad samples."""
        records = copy.deepcopy(self.records)
        for offset, defect in enumerate(defects):
            records[VICTIM + 4 * offset].update(DEFECTS[defect][0])
        support.write_records(self.folder / "data" / "samples.json", records)

    def refuse(self, *fragments, arguments=(), most=1):
        """Requires exit code 3 and a message with these fragments; of several bad samples each rank names one."""
        result = self.call("train", self.config, *arguments, ranks=self.ranks, expect=support.DATA_REFUSED)
        messages = [line for line in result.err.splitlines() if line.startswith("vrwkv-dist:")]
        self.assertIn(len(messages), range(1, most + 1), result.err)
        for fragment in fragments:
            self.assertIn(fragment, messages[0])

    def test_every_defect_stops_the_run(self):
        for defect, (_, fragment) in DEFECTS.items():
            with self.subTest(defect):
                self.spoil(defect)
                self.refuse("samples.json", f"sample-{VICTIM}", fragment, arguments=["--run-dir", "stopped"])

    def test_nothing_written_before_is_lost(self):
        self.call("train", self.config, ranks=self.ranks)
        reference, rows = self.state(), self.metrics()
        first = self.checkpoints()[0]
        for path in self.folder.glob("run/checkpoints/step-00000002"):
            path.rename(self.folder / "later")
        # Step 1 was done and stays, whatever becomes of the data.
        self.spoil("empty answer")
        self.refuse("ledger.bin", "begun on other data")
        support.write_records(self.folder / "data" / "samples.json", self.records)
        image = self.folder / "data" / "images" / "drawing.png"
        image.rename(self.folder / "elsewhere.png")
        self.refuse("drawing.png", most=self.ranks)
        self.call("checkpoint", "verify", first)
        (self.folder / "elsewhere.png").rename(image)
        self.call("train", self.config, ranks=self.ranks)
        self.assert_same_state(self.state(), reference)
        self.assertEqual(self.metrics(), rows)

    def test_bad_samples_are_replaced_and_the_ledger_proves_it(self):
        self.spoil("missing image", "empty answer", "unreadable image")
        replace = ["--set", "data.on_bad_sample=replace"]
        self.call("train", self.config, *replace, ranks=self.ranks)
        self.assertEqual([row["samples"] for row in self.metrics()], [12, 12])
        listed = json.loads((self.folder / "run" / "quarantine.json").read_text())["samples"]
        self.assertEqual([sample["record"] for sample in listed], [VICTIM, VICTIM + 4, VICTIM + 8])
        proof = json.loads(self.call("data", "ledger", "run", "verify", "--json").out)
        self.assertEqual((proof["proven"], proof["steps"], proof["whole_epochs"], proof["replaced"]), (True, 2, 1, 3))
        (epoch,) = proof["epochs"]
        self.assertEqual((epoch["epoch"], epoch["did_not_enter"]), (1, [VICTIM, VICTIM + 4, VICTIM + 8]))
        self.assertEqual(len(epoch["entered_again"]), 3)
        self.assertEqual(json.loads(self.call("data", "ledger", "verify", self.config, "--json").out), proof)
        replaced = json.loads(self.call("data", "ledger", "run", "--json").out)["replacements"]
        self.assertEqual(sorted(one["substitute"] for one in replaced), epoch["entered_again"])
        self.assertEqual(sorted(one["id"] for one in replaced),
                         sorted(f"sample-{VICTIM + offset}" for offset in (0, 4, 8)))
        step = json.loads(self.call("data", "ledger", "run", "--step", "2", "--json").out)
        self.assertEqual(sum(len(records) for records in step["micro_batches"]), 12)
        self.call("train", self.config, *replace, "--run-dir", "alone")
        self.assert_same_run("run", "alone")
        # A run whose ledger lacks a step, or was changed, proves nothing.
        ledger = self.folder / "run" / "ledger.bin"
        whole = ledger.read_bytes()
        ledger.write_bytes(whole[:frame_ends(whole)[1]])
        self.assertIn("ends after step 1, but a checkpoint was written after step 2",
                      self.call("data", "ledger", "run", "verify", expect=support.FAILED).out)
        for at in (-1, frame_ends(whole)[0] + 1):  # the last byte of the last entry; of the first entry's length
            changed = bytearray(whole)
            changed[at] ^= 1
            ledger.write_bytes(changed)
            self.assertIn("checksum", self.call("data", "ledger", "run", "verify", expect=support.DATA_REFUSED).err)
        self.call("data", "ledger", "nowhere", expect=support.USAGE)
        self.call("data", "ledger", "run", "other", expect=support.USAGE)

    def test_another_list_or_rule_at_a_resume_is_said(self):
        self.spoil("missing image", "empty answer")
        replace = ["--set", "data.on_bad_sample=replace"]
        self.call("train", self.config, *replace, "--max-steps", 1, "--run-dir", "first", ranks=self.ranks)
        self.call("train", self.config, *replace, "--set", "train.steps=2", "--run-dir", "whole", ranks=self.ranks)
        listed = (self.folder / "whole" / "quarantine.json").rename(self.folder / "listed.json")
        with_list = ["--set", f"data.quarantine={listed}"]
        once = self.call("train", self.config, *replace, *with_list, "--run-dir", "first", ranks=self.ranks).err
        self.assertIn("[data] quarantine leaves out other samples than up to step 1", once)
        self.assertNotIn("on_bad_sample is another", once)
        self.call("train", self.config, *replace, *with_list, "--max-steps", 1, ranks=self.ranks)
        again = self.call("train", self.config, *with_list, ranks=self.ranks).err
        self.assertNotIn("leaves out other samples", again)
        self.assertIn("[data] on_bad_sample is another one than up to step 1", again)

    def test_a_damaged_list_of_its_own_does_not_stop_a_run(self):
        self.spoil("missing image")
        replace = ["--set", "data.on_bad_sample=replace"]
        self.call("train", self.config, *replace, "--max-steps", 1, ranks=self.ranks)
        own = self.folder / "run" / "quarantine.json"
        own.write_text("[")
        self.assertIn("quarantine.json.damaged now", self.call("train", self.config, *replace, ranks=self.ranks).err)
        self.assertEqual((self.folder / "run" / "quarantine.json.damaged").read_text(), "[")

    def test_skipped_samples_are_named_counted_and_contribute_nothing(self):
        self.spoil("missing image", "empty answer")
        skip = ["--set", "data.on_bad_sample=skip"]
        self.call("train", self.config, *skip, ranks=self.ranks)
        self.assertEqual(sum(row["samples"] for row in self.metrics()), SAMPLES - 2)
        logs = "".join(path.read_text() for path in (self.folder / "run" / "log").iterdir())
        for number in (VICTIM, VICTIM + 4):
            self.assertEqual(logs.count(f"sample-{number}'"), 1, logs)
        self.call("train", self.config, *skip, "--run-dir", "alone")
        self.assert_same_run("run", "alone")

    def test_too_many_bad_samples(self):
        self.spoil("missing image", "empty answer", "unreadable image")
        limit = ["--set", "data.on_bad_sample=skip", "--set", "data.max_bad_samples=2"]
        self.refuse("max_bad_samples", "3", arguments=limit)
        done = self.steps_done()
        result = self.call("train", self.config, *limit, "--run-dir", "alone", expect=support.DATA_REFUSED)
        self.assertIn("max_bad_samples", result.err)
        self.assertEqual(self.steps_done("alone"), done, "the same step on any number of ranks")

    def test_files_that_are_no_data(self):
        file = self.folder / "data" / "samples.json"
        for text, *fragments in (("[\n{\"id\": \"a\",\n\"conversations\": [}\n]", "samples.json:"),
                                 ("{}", "samples.json"), ("[]", "samples.json"), ("", "samples.json"),
                                 ("[{\"id\": \"a\"}]", "samples.json:1", "conversations")):
            with self.subTest(text):
                file.write_text(text)
                self.refuse(*fragments)
        file.unlink()
        self.refuse("samples.json")


if __name__ == "__main__":
    support.main()
