# SPDX-License-Identifier: Apache-2.0
"""checkpoint_commands_test.py PROGRAM: list, inspect and verify against h5py, and what damage leads to."""
import json
import shutil

import h5py
import support

RANKS = 2
STEPS = 6


class CheckpointCommands(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.config = self.write_config(train={"steps": STEPS},
                                        checkpoint={"every_steps": 2, "keep_last": 2})
        self.prepare_once(self.train)
        self.older, self.newest = self.checkpoints()

    def train(self):
        self.make_data()
        self.call("train", self.config, ranks=RANKS)

    def test_only_the_last_ones_are_kept(self):
        self.assertEqual([self.older.name, self.newest.name], ["step-00000004", "step-00000006"])
        self.call("train", self.config, "--set", "checkpoint.keep_last=1", "--run-dir", "last")
        self.assertEqual([path.name for path in self.checkpoints("last")], ["step-00000006"])

    def test_stall_of_a_checkpoint_is_charged_to_the_next_row_alone(self):
        lines = (self.folder / "run" / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        self.assertEqual([row["step"] for row in rows if row["checkpoint_stall_seconds"] > 0], [3, 5])

    def test_going_back_to_an_older_checkpoint(self):
        shutil.copytree(self.folder / "run", self.folder / "unbroken")
        self.call("train", self.config, "--resume", self.older, "--max-steps", 5, ranks=RANKS)
        self.assertEqual([path.name for path in self.checkpoints()], ["step-00000004", "step-00000005"])
        self.assertTrue((self.folder / "run" / "checkpoints" / "step-00000006.abandoned").is_dir())
        self.call("train", self.config, ranks=RANKS)
        self.assert_same_run("run", "unbroken")

    def test_list(self):
        run = self.folder / "run"
        listed = json.loads(self.call("checkpoint", "list", run, "--json").out)
        self.assertEqual(listed, [self.headline(path) for path in (self.older, self.newest)])
        lines = self.call("checkpoint", "list", run).out.splitlines()
        self.assertEqual([line.split()[-1] for line in lines], [entry["path"] for entry in listed])
        again = self.call("checkpoint", "list", run / "checkpoints", "--json").out
        self.assertEqual(json.loads(again), listed)

    def test_inspect(self):
        inspected = json.loads(self.call("checkpoint", "inspect", "run", "--json").out)
        headline = {key: inspected[key] for key in ("path", "step", "world_size", "bytes")}
        self.assertEqual(headline, self.headline(self.newest))
        samples = STEPS * support.TINY["train"]["global_batch_size"]
        self.assertEqual(inspected["data_position"], samples)
        self.assertEqual(inspected["metrics_rows"], STEPS)
        self.assertEqual(inspected["config_toml"], (self.folder / "run" / "config.toml").read_text())
        tensors, files = inspected["tensors"], inspected["files"]
        self.assertEqual({tensor["name"]: tensor for tensor in tensors}, tensors_by_h5py(self.newest))
        self.assertEqual({file["name"]: file["bytes"] for file in files}, file_sizes(self.newest))
        manifest = json.loads((self.newest / "manifest.json").read_text())
        self.assertEqual([file["crc32c"] for file in files], [file["crc32c"] for file in manifest["files"]])
        text = self.call("checkpoint", "inspect", "run").out
        for tensor in tensors:
            self.assertIn(f" {tensor['name']} ", text)
        for file in files:
            self.assertRegex(text, rf" {file['name']} +{file['bytes']} bytes  crc32c {file['crc32c']}\n")

    def test_verify(self):
        self.assertIn("sound", self.call("checkpoint", "verify", self.older).out)
        verified = json.loads(self.call("checkpoint", "verify", "run", "--json").out)
        self.assertEqual(verified, self.headline(self.newest))

    def test_flipped_bit(self):
        self.expect_refusal_then_recovery(self.newest / "rank-0000.h5", flip_bit)

    def test_cut_file(self):
        self.expect_refusal_then_recovery(self.newest / "rank-0001.h5", cut)

    def test_damaged_manifest(self):
        self.expect_refusal_then_recovery(self.newest / "manifest.json", cut)

    def test_list_shows_the_others_beside_a_damaged_one(self):
        cut(self.newest / "manifest.json")
        listed = json.loads(self.call("checkpoint", "list", "run", "--json", expect=support.CHECKPOINT_DAMAGED).out)
        self.assertEqual([entry.get("step") for entry in listed], [4, None])
        self.assertIn("manifest.json", listed[1]["damage"])
        text = self.call("checkpoint", "list", "run", expect=support.CHECKPOINT_DAMAGED).out.splitlines()
        self.assertRegex(text[0], "^step +4 ")
        self.assertRegex(text[1], f"^damaged: .*{self.newest.name}")

    def test_nothing_sound_is_left(self):
        flip_bit(self.newest / "rank-0000.h5")
        cut(self.older / "rank-0000.h5")
        refusal = self.call("checkpoint", "verify", "run", expect=support.CHECKPOINT_DAMAGED).err
        self.assertNotIn(self.older.name, refusal)

    def expect_refusal_then_recovery(self, file, damage):
        state = self.state()
        damage(file)
        for command, ranks in ((["checkpoint", "verify", "run"], None),
                               (["train", self.config, "--resume", "auto"], None),
                               (["train", self.config, "--resume", "auto"], 3)):
            refusal = self.call(*command, ranks=ranks, expect=support.CHECKPOINT_DAMAGED).err
            self.assertIn(self.newest.name, refusal)
            self.assertIn(file.name, refusal)
            self.assertRegex(refusal, f"resume from .*{self.older.name}")
            messages = [line for line in refusal.splitlines() if line.startswith("vrwkv-dist:")]
            self.assertEqual(len(messages), 1, refusal)
        shutil.rmtree(self.newest)
        self.call("train", self.config, ranks=3)
        self.assert_same_state(self.state(), state)
        self.assertEqual([row["step"] for row in self.metrics()], list(range(1, STEPS + 1)))

    def headline(self, path):
        sizes = file_sizes(path)
        return {"path": str(path), "step": int(path.name.removeprefix("step-")), "world_size": RANKS,
                "bytes": sum(sizes.values())}


def file_sizes(checkpoint):
    """Of the files that the manifest names, which is all but itself."""
    return {path.name: path.stat().st_size for path in checkpoint.iterdir() if path.name != "manifest.json"}


def tensors_by_h5py(checkpoint):
    """What inspect should print of each tensor, by name. Trainable ones come with two moments."""
    with h5py.File(checkpoint / "index.h5", "r") as index:
        return {name: {"name": name, "shape": list(dataset.shape), "trainable": name in index["masters"],
                       "bytes": dataset.nbytes * (3 if name in index["exp_avg"] else 1)}
                for name, dataset in index["parameters"].items()}


def flip_bit(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def cut(file):
    with open(file, "r+b") as stream:
        stream.truncate(file.stat().st_size - 100)


if __name__ == "__main__":
    support.main()
