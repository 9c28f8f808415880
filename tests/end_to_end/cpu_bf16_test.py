# SPDX-License-Identifier: Apache-2.0
"""cpu_bf16_test.py PROGRAM RANKS: `precision = "bf16"` on CPUs that multiply bf16, and the refusal on those that do not."""
import signal
import unittest

import h5py
import numpy as np

import processes
import support

STEPS = 8
CAN = {"avx512_bf16", "amx_bf16"} & set(open("/proc/cpuinfo", encoding="ascii").read().split())
# Of bf16 from fp32. Seen: 1e-4 of the losses, 0.011 of single logits, whose largest are some units.
LOSS_TOLERANCE, LOGIT_TOLERANCE = 1e-3, 0.03


class CpuBf16(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.ranks = int(support.ARGUMENTS[0])
        self.config = self.write_config(train={"steps": STEPS, "precision": "bf16"})
        self.prepare_once(self.make_data)

    @unittest.skipIf(CAN, "this processor multiplies bf16")
    def test_is_refused(self):
        result = self.call("train", self.config, expect=support.USAGE)
        self.assertIn('precision "bf16": this processor has no instructions', result.stderr)
        self.assertFalse((self.folder / "run").exists())

    @unittest.skipUnless(CAN, "this processor has no products of bf16 numbers")
    def test_any_ranks_and_a_kill_give_the_bits_of_one_process(self):
        self.call("train", self.config, "--run-dir", "reference")
        job = self.start("train", self.config, ranks=self.ranks)
        self.wait_until(lambda: self.steps_done() >= 5, job)
        processes.send(signal.SIGKILL, [job.ranks()[self.ranks - 1]])
        self.expect_killed(job)
        self.call("train", self.config, ranks=self.ranks + 1)
        self.assert_same_run("run", "reference")

    @unittest.skipUnless(CAN, "this processor has no products of bf16 numbers")
    def test_learns_and_looks_forward_as_fp32_does(self):
        for precision in ("bf16", "fp32"):
            self.call("train", self.config, "--run-dir", precision, "--set", f"train.precision={precision}")
        losses = [[row["loss"] for row in self.metrics(run)] for run in ("bf16", "fp32")]
        self.assertNotEqual(losses[0], losses[1], "fp32 was computed in")
        np.testing.assert_allclose(losses[0], losses[1], rtol=LOSS_TOLERANCE)

        logits = [self.logits(precision) for precision in ("bf16", "fp32")]
        self.assertFalse(np.array_equal(*logits))
        np.testing.assert_allclose(logits[0], logits[1], rtol=0, atol=LOGIT_TOLERANCE)
        self.assertTrue(np.any(logits[0].view(np.uint32) & 0xFFFF), "logits are rounded to bf16, which the loss is not made of")

    def logits(self, precision):
        self.call("forward", "--model", "fp32", "--samples", "data/samples.json", "--image-folder", "data/images", "--output",
                  "forward.h5", "--dtype", precision, "--device", "cpu")
        with h5py.File(self.folder / "forward.h5") as file:
            return file["samples/0/logits"][...]


if __name__ == "__main__":
    support.main()
