# SPDX-License-Identifier: Apache-2.0
"""kill_and_resume_test.py PROGRAM BEFORE AFTER: BEFORE ranks lose one of them to SIGKILL, AFTER ranks go on.

What comes out equals a run that nothing disturbed, in one process without mpirun, to the bit.
"""
import contextlib
import signal

import processes
import support

STEPS = 8


class KillAndResume(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.before, self.after = (int(ranks) for ranks in support.ARGUMENTS)
        self.config = self.write_config(train={"steps": STEPS})
        self.prepare_once(self.run_unbroken)

    def run_unbroken(self):
        self.make_data()
        self.call("train", self.config, "--run-dir", "reference")
        self.assertEqual(self.steps_done("reference"), STEPS)

    def test_before_the_first_checkpoint(self):
        job = self.start("train", self.config, ranks=self.before)
        self.wait_until(lambda: self.steps_done() >= 1, job)
        with job.paused():
            processes.send(signal.SIGKILL, [job.ranks()[0]])
        self.expect_failure(job)
        self.expect_unbroken_end()

    def test_between_checkpoints(self):
        job = self.start("train", self.config, ranks=self.before)
        self.wait_until(lambda: self.steps_done() >= 5, job)
        processes.send(signal.SIGKILL, [job.ranks()[self.before - 1]])
        self.expect_failure(job)
        self.assertTrue(self.checkpoints())
        self.expect_unbroken_end()

    def test_while_a_checkpoint_is_written(self):
        job = self.start("train", self.config, ranks=self.before)
        self.wait_until(self.checkpoints, job)
        self.kill_while_writing(job, victim=self.before - 1)
        self.expect_failure(job)
        self.call("checkpoint", "verify", "run")
        # Again, with the other number of ranks, and now the rank that commits.
        job = self.start("train", self.config, ranks=self.after)
        self.kill_while_writing(job, victim=0)
        self.expect_failure(job)
        self.call("checkpoint", "verify", "run")
        self.expect_unbroken_end()

    def kill_while_writing(self, job, victim):
        left_over = self.partial_folders()

        def writing():
            return self.partial_folders() - left_over

        def killed():
            if not writing():
                return False
            with job.paused():
                if not writing():
                    return False      # committed in the meantime
                processes.send(signal.SIGKILL, [job.ranks()[victim]])
                return True
        self.wait_until(killed, job, pause=0.001)

    def expect_failure(self, job):
        self.expect_killed(job)
        self.assertFalse((self.folder / "run" / "REQUEUE").exists())

    def expect_unbroken_end(self):
        self.call("train", self.config, ranks=self.after)
        self.assertEqual(self.partial_folders(), set())
        self.assert_same_run("run", "reference")
        self.call("data", "ledger", "run", "verify")

    def partial_folders(self):
        """Names and times, which tell a folder from one of the same name that a killed run has left."""
        found = set()
        for folder in (self.folder / "run" / "checkpoints").glob("*.partial"):
            with contextlib.suppress(FileNotFoundError):
                found.add((folder.name, folder.stat().st_mtime_ns))
        return found


if __name__ == "__main__":
    support.main()
