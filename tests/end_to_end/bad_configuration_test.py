# SPDX-License-Identifier: Apache-2.0
"""bad_configuration_test.py PROGRAM RANKS: mistakes in configurations and command lines end with 2 and say what to do."""
import support


class BadConfiguration(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.ranks = int(support.ARGUMENTS[0])
        self.make_data()

    def refuse(self, *fragments, arguments=(), config=None):
        """`train` refuses: one message, from one rank, with all fragments."""
        result = self.call("train", config or self.folder / "config.toml", *arguments, ranks=self.ranks,
                           expect=support.USAGE)
        messages = [line for line in result.err.splitlines() if line.startswith("vrwkv-dist:")]
        self.assertEqual(len(messages), 1, result.err)
        for fragment in fragments:
            self.assertIn(fragment, messages[0])

    def refuse_file(self, old, new, *fragments):
        path = self.write_config()
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1))
        line = text[:text.index(old)].count("\n") + 1 + new[:new.rindex("=")].count("\n")
        self.refuse(f"config.toml:{line}", *fragments)
        self.assertFalse((self.folder / "run").exists())

    def test_mistakes_in_the_file(self):
        steps = "steps = 6"
        for new, *fragments in (
                ("stps = 6", "stps", "steps"),                                 # names the nearest key
                (steps + "\nwarmth = 3", "warmth"),
                ('steps = "six"', "steps", "integer"),
                ("steps = 0", "steps", "0"),
                ("steps = 6.5", "steps"),
                (steps + '\nl2wrap = "supervisd"', "l2wrap", "supervised")):
            with self.subTest(new):
                self.refuse_file(steps, new, *fragments)
        self.refuse_file("micro_batch_size = 1", "micro_batch_size = 5", "micro_batch_size", "12")
        self.refuse_file("n_embd = 64", "n_embd = 65", "n_embd")

    def test_required_keys_and_broken_toml(self):
        path = self.write_config()
        text = path.read_text()
        path.write_text(text.replace("global_batch_size = 12\n", ""))
        self.refuse("config.toml", "global_batch_size")
        path.write_text(text.replace("steps = 6", "steps = = 6"))
        self.refuse("config.toml:")

    def test_mistakes_on_the_command_line(self):
        self.refuse("nowhere.toml", config="nowhere.toml")
        self.write_config()
        self.refuse("train.stps", "steps", arguments=["--set", "train.stps=3"])
        self.refuse("nowhere", arguments=["--resume", "nowhere"])
        self.refuse("nowhere", arguments=["--set", "model.initial_model=nowhere"])
        self.call("train", "config.toml", "--unknown", ranks=self.ranks, expect=support.USAGE)
        self.call("train", "config.toml", "--max-steps", "-1", ranks=self.ranks, expect=support.USAGE)
        for arguments, fragment in ((["trian"], "train"), ([], "subcommand"), (["checkpoint"], "subcommand")):
            self.assertIn(fragment, self.call(*arguments, expect=support.USAGE).err)

    def test_more_ranks_than_micro_batches(self):
        self.write_config(train={"global_batch_size": 12, "micro_batch_size": 12})
        if self.ranks > 1:
            self.refuse(f"{self.ranks} ranks", "micro-batch")
        self.call("train", "config.toml", "--max-steps", 1)

    def test_a_run_directory_of_another_run(self):
        self.write_config()
        self.call("train", "config.toml", "--max-steps", 2, ranks=self.ranks)
        before = (self.metrics(), self.state(), (self.folder / "run" / "config.toml").read_text())
        self.refuse("run", "optimizer.beta1", "train.seed",
                    arguments=["--set", "optimizer.beta1=0.8", "--set", "train.seed=8"])
        self.refuse("run", "--resume never", arguments=["--resume", "never"])
        self.assertEqual(self.metrics(), before[0])
        self.assert_same_state(self.state(), before[1])
        self.assertEqual((self.folder / "run" / "config.toml").read_text(), before[2])
        # What changes no number may change.
        self.call("train", "config.toml", "--max-steps", 3, "--set", "train.recompute=all", "--set",
                  "data.on_bad_sample=skip", "--set", "checkpoint.every_steps=1", ranks=self.ranks)

    def test_missing_models(self):
        (self.folder / "empty").mkdir()
        for model in ("nowhere", "empty"):
            for command in (["generate", "--prompt", "Hello", "--model", model],
                            ["checkpoint", "verify", model],
                            ["forward", "--samples", "data/samples.json", "--output", "out.h5", "--model", model]):
                self.assertIn(model, self.call(*command, expect=support.USAGE).err)


if __name__ == "__main__":
    support.main()
