# SPDX-License-Identifier: Apache-2.0
"""stop_request_test.py PROGRAM RANKS: a run asked to stop keeps all it did, and another call goes on."""
import signal

import processes
import support

STEPS = 8


class StopRequest(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.ranks = int(support.ARGUMENTS[0])
        self.config = self.write_config(train={"steps": STEPS}, checkpoint={"every_steps": 0})
        self.marker = self.folder / "run" / "REQUEUE"
        self.prepare_once(self.run_unbroken)

    def run_unbroken(self):
        self.make_data()
        self.call("train", self.config, "--run-dir", "reference")

    def test_sigusr1_to_mpirun(self):
        self.stop(lambda job: processes.send(signal.SIGUSR1, [job.process.pid]), signal.SIGUSR1)
        self.expect_unbroken_end()

    def test_sigterm_to_all_ranks(self):
        self.stop(lambda job: processes.send(signal.SIGTERM, job.ranks().values()), signal.SIGTERM)
        self.expect_unbroken_end()

    def test_sigusr1_to_one_rank(self):
        last = self.ranks - 1
        self.stop(lambda job: processes.send(signal.SIGUSR1, [job.ranks()[last]]), signal.SIGUSR1, at=[last])
        self.expect_unbroken_end()

    def test_sigterm_without_mpirun(self):
        job = self.start("train", self.config)
        self.wait_until(lambda: self.steps_done() >= 2, job)
        processes.send(signal.SIGTERM, [job.process.pid])
        self.expect_stopped(job)
        self.expect_unbroken_end()

    def test_max_steps(self):
        self.call("train", self.config, "--max-steps", 3, ranks=self.ranks)
        self.assertEqual([path.name for path in self.checkpoints()], ["step-00000003"])
        self.assertFalse(self.marker.exists())
        # Asking for what is there changes nothing.
        self.call("train", self.config, "--max-steps", 2, ranks=self.ranks)
        self.assertEqual([row["step"] for row in self.metrics()], [1, 2, 3])
        self.expect_unbroken_end()

    def stop(self, request, number, at=None):
        """Requests a stop in mid-run. The ranks are held still until the signal waits at all, or at `at`."""
        job = self.start("train", self.config, ranks=self.ranks)
        self.wait_until(lambda: self.steps_done() >= 2, job)
        with job.paused():
            ranks = job.ranks()
            targets = [ranks[rank] for rank in (ranks if at is None else at)]
            request(job)
            self.wait_until(lambda: all(is_pending(number, pid) for pid in targets), job)
        self.expect_stopped(job)

    def expect_stopped(self, job):
        self.assertEqual(job.wait().code, support.STOPPED_ON_REQUEST, job)
        done = self.steps_done()
        self.assertLess(done, STEPS)
        self.assertEqual(self.marker.read_text(), f"step {done}\n")
        self.assertEqual([path.name for path in self.checkpoints()], [f"step-{done:08}"])

    def expect_unbroken_end(self):
        self.call("train", self.config, ranks=self.ranks)
        self.assertFalse(self.marker.exists())
        self.assert_same_run("run", "reference")


def is_pending(number, pid):
    return int(processes.status_of(pid).get("ShdPnd", "0"), 16) >> (number - 1) & 1


if __name__ == "__main__":
    support.main()
