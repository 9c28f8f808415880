# SPDX-License-Identifier: Apache-2.0
"""data_ledger_test.py PROGRAM: a run on 3, 1 and 2 ranks, broken off and once killed; its ledger, read here anew, and `verify`."""
import collections
import copy
import json
import re
import signal

import ledger_file
import processes
import support

SAMPLES, BATCH, STEPS = 40, 12, 10       # ten steps are three epochs
BAD = {3, 11, 27}


class DataLedger(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.config = self.write_config(train={"steps": STEPS})
        self.prepare_once(self.run_in_pieces)
        self.file = self.folder / "run" / "ledger.bin"
        self.header, self.entries = ledger_file.read(self.file)

    def run_in_pieces(self):
        records = support.make_records(SAMPLES)
        for number in BAD:
            records[number] = {**records[number], "image": "nowhere.png"} | {"conversations": [
                {"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "It."}]}
        self.make_data(records)
        self.call("train", self.config, "--max-steps", 3, ranks=3)
        self.call("train", self.config, "--max-steps", 6)
        job = self.start("train", self.config, ranks=2)
        self.wait_until(lambda: self.steps_done() >= 7, job)
        with job.paused():
            processes.send(signal.SIGKILL, [job.ranks()[1]])
        self.expect_killed(job)
        self.call("train", self.config, ranks=4)

    def verify(self, expect=support.DONE):
        return self.call("data", "ledger", "run", "verify", expect=expect)

    def test_each_sample_entered_once_an_epoch(self):
        self.assertEqual(ledger_file.crc32c(b"123456789"), 0xe3069283)
        self.assertEqual([entry["step"] for entry in self.entries], list(range(1, STEPS + 1)))
        times = collections.Counter()
        for done, entry in enumerate(self.entries):
            self.assertEqual((entry["position"], entry["places"]), (done * BATCH, BATCH))
            entered = collections.Counter(sum(entry["micro_batches"], []))
            self.assertEqual(entered.total(), BATCH)
            self.assertFalse(BAD & set(entered))
            for _, record, _, substitute in entry["replacements"]:
                entered.subtract([substitute - 1])
                entered.update([record])
            times.update(entered)
            epochs, rest = divmod((done + 1) * BATCH, SAMPLES)
            self.assertLessEqual(set(times.values()), {epochs, epochs + 1} if rest else {epochs})
        self.assertEqual(times, {record: 3 for record in range(SAMPLES)})
        self.assertEqual({one[1] for entry in self.entries for one in entry["replacements"]}, BAD)

    def test_the_program_says_the_same(self):
        proof = json.loads(self.call("data", "ledger", "run", "verify", "--json").out)
        self.assertEqual(
            {key: proof[key] for key in ("proven", "steps", "places", "samples", "whole_epochs", "replaced", "problems")},
            {"proven": True, "steps": STEPS, "places": STEPS * BATCH, "samples": SAMPLES, "whole_epochs": 3,
             "replaced": 3 * len(BAD), "problems": []})
        shown = json.loads(self.call("data", "ledger", "run", "--json").out)
        self.assertEqual(
            sorted((one["step"], one["place"], one["record"], one["substitute"]) for one in shown["replacements"]),
            sorted((entry["step"], place, record, substitute - 1) for entry in self.entries
                   for place, record, _, substitute in entry["replacements"]))
        for entry in self.entries:
            step = json.loads(self.call("data", "ledger", "run", "--step", entry["step"], "--json").out)
            replacements = step.pop("replacements")
            self.assertEqual(step, {key: entry[key] for key in step})
            self.assertEqual(replacements, [one for one in shown["replacements"] if one["step"] == entry["step"]])

    def test_says_of_samples_that_the_run_was_told_of_why_they_are_bad(self):
        quarantine = self.folder / "run" / "quarantine.json"
        (self.folder / "told.json").write_bytes(quarantine.read_bytes())
        self.call("train", self.config, "--set", "data.quarantine=told.json", "--run-dir", "told", "--max-steps", 4)
        self.assertFalse((self.folder / "told" / "quarantine.json").exists())
        said = self.call("data", "ledger", self.config, "--set", "run.directory=told").out
        reasons = {sample["record"]: sample["reason"] for sample in json.loads(quarantine.read_text())["samples"]}
        self.assertEqual(set(reasons), BAD)
        for record, reason in reasons.items():
            self.assertRegex(said, f"sample {record} replaced by [0-9]+: {re.escape(reason)}")
        step = re.search("step ([0-9]+): ", said).group(1)
        config = self.folder / "told" / "config.toml"
        config.write_text(config.read_text().replace("[train]", "[train]\nof_another_build = 1"))
        unread = self.call("data", "ledger", "told")
        self.assertIn("of_another_build", unread.err)
        self.assertIn("replaced by", unread.out)
        self.assertIn("replaced by", self.call("data", "ledger", "told", "--step", step).out)

    def test_settings_need_a_configuration(self):
        said = self.call("data", "ledger", "run", "--set", "run.directory=x", expect=support.USAGE).err
        self.assertIn("--set run.directory=x with a run directory", said)

    def test_says_how_many_samples_the_order_leaves_out(self):
        self.assertNotIn("no place", self.verify().out)
        # The cubes modulo 29, the largest prime 3n + 2 below 40.
        self.call("train", self.config, "--set", "data.order=visualrwkv", "--run-dir", "cubes", "--max-steps", 3)
        said = self.call("data", "ledger", "cubes", "verify").out
        self.assertIn("1 epochs of them whole (at least 11 samples have no place in an epoch of this order)", said)
        proof = json.loads(self.call("data", "ledger", "cubes", "verify", "--json").out)
        self.assertEqual((proof["proven"], proof["samples"], proof["left_out_by_order"]), (True, 40, 11))

    def test_verify_is_of_all_steps(self):
        said = self.call("data", "ledger", "run", "verify", "--step", 3, expect=support.USAGE).err
        self.assertIn("--step 3 with verify", said)

    def test_what_is_tampered_with_is_named(self):
        def tampered(change, *fragments):
            entries = copy.deepcopy(self.entries)
            change(entries)
            ledger_file.write(self.file, self.header, entries)
            said = self.verify(expect=support.FAILED).out
            for fragment in (*fragments, "not proven"):
                self.assertIn(fragment, said)

        def swap(entries):
            first, second = entries[1]["micro_batches"][0], entries[4]["micro_batches"][0]
            first[0], second[0] = second[0], first[0]

        self.verify()
        mine, other = (self.entries[step]["micro_batches"][0][0] for step in (1, 4))
        tampered(swap, f"step 2: record {mine} did not enter", f"step 2: record {other} entered, but has no place",
                 f"step 5: record {other} did not enter", f"step 5: record {mine} entered, but has no place")
        tampered(lambda entries: entries[1]["micro_batches"][0].pop(0), f"step 2: record {mine} did not enter")
        tampered(lambda entries: entries.pop(2), "entry 3 is of step 4", "step 4 begins at position 36")
        tampered(lambda entries: entries.insert(2, entries[1]), "entry 3 is of step 2")
        tampered(lambda entries: entries[0].update(places=1 << 40), "step 1: took 1099511627776 places")
        with_replacement = next(place for place, entry in enumerate(self.entries) if entry["replacements"])
        tampered(lambda entries: entries[with_replacement]["replacements"][0].__setitem__(2, 5), "but the rule's attempt 5")
        tampered(lambda entries: entries[with_replacement]["replacements"].clear(), "did not enter")

    def test_what_is_damaged_is_refused_and_what_is_torn_is_said(self):
        whole = self.file.read_bytes()
        self.file.write_bytes(whole[:-3])
        said = self.verify(expect=support.FAILED).out
        self.assertIn("the last entry is torn", said)
        self.assertIn(f"ends after step {STEPS - 1}, but a checkpoint was written after step {STEPS}", said)
        changed = bytearray(whole)
        changed[-1] ^= 1
        self.file.write_bytes(changed)
        self.assertIn(f"entry {STEPS}: the checksum differs", self.verify(expect=support.DATA_REFUSED).err)
        # Neither may a run go on that could not be accounted for.
        for content in (changed, whole[:-3]):
            self.file.write_bytes(content)
            for ranks in (None, 2):
                self.assertIn("ledger.bin", self.call("train", self.config, ranks=ranks,
                                                      expect=support.CHECKPOINT_DAMAGED).err)
        self.file.write_bytes(whole)
        header = json.loads(self.header)
        for hostile in (b"", b"{}", b"[" * 10000, json.dumps({**header, "seed": -1}).encode(),
                        json.dumps({**header, "sources": [{"samples": 1 << 60, "samples_per_epoch": 1, "takes_all": True}]}).encode()):
            ledger_file.write(self.file, hostile, self.entries)
            self.assertIn("header does not describe", self.verify(expect=support.DATA_REFUSED).err)
        ledger_file.write(self.file, json.dumps({**header, "seed": header["seed"] + 1}).encode(), self.entries)
        self.assertIn("not proven", self.verify(expect=support.FAILED).out)


if __name__ == "__main__":
    support.main()
