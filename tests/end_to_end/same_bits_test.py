# SPDX-License-Identifier: Apache-2.0
"""same_bits_test.py PROGRAM RANKS: both stages give the bits of one process without mpirun on RANKS ranks."""
import support


class SameBits(support.ProgramTest):

    def test_two_stages(self):
        ranks = int(support.ARGUMENTS[0])
        self.make_data()
        first = {"stage": 1, "steps": 4, "trainable": ["projector", "embedding"]}
        stage1 = self.write_config("stage1.toml", train=first)
        self.call("train", stage1, "--run-dir", "reference1")
        self.call("train", stage1, "--run-dir", "ranks1", ranks=ranks)
        self.assert_same_run("ranks1", "reference1")

        self.call("train", self.stage2("reference1"), "--run-dir", "reference2")
        self.call("train", self.stage2("ranks1"), "--run-dir", "ranks2", ranks=ranks)
        self.assert_same_run("ranks2", "reference2")
        self.assertNotEqual(self.metrics("reference2")[0]["loss"], self.metrics("reference1")[0]["loss"],
                            "stage 2 starts where stage 1 began")

        # How activations are kept, how gradients travel, how data is loaded: no bit may depend on these.
        other_ways = self.stage2("ranks1", train={"steps": 5, "recompute": "all"},
                                 sharding={"bucket_elements": 65536},
                                 data={**support.TINY["data"], "threads": 2, "prefetch_bytes": 0})
        self.call("train", other_ways, "--run-dir", "other-ways", ranks=ranks)
        self.assert_same_run("other-ways", "reference2")

    def stage2(self, initial_model, **tables):
        model = {**support.TINY["model"], "initial_model": initial_model}
        return self.write_config("stage2.toml", **{"model": model, "train": {"steps": 5}, **tables})


if __name__ == "__main__":
    support.main()
