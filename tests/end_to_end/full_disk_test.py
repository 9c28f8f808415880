# SPDX-License-Identifier: Apache-2.0
"""full_disk_test.py PROGRAM RANKS: a disk that fills up costs the step, not the run. Mounts a small file system of its own."""
import os
import subprocess
import sys

import support

IN_NAMESPACE = "VRWKV_TEST_IN_MOUNT_NAMESPACE"
UNSHARE = ["unshare", "--mount", "--propagation", "private"]


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


class FullDisk(support.ProgramTest):

    def setUp(self):
        super().setUp()
        if IN_NAMESPACE not in os.environ:
            self.skipTest("mounting a small file system needs root and mount namespaces")
        self.ranks = int(support.ARGUMENTS[0])
        self.make_data()
        self.config = self.write_config(checkpoint={"every_steps": 2, "keep_last": 1})
        self.call("train", self.config, ranks=self.ranks)
        self.small = self.folder / "small"
        self.small.mkdir()

    def test_the_earlier_checkpoint_stays_and_the_run_goes_on(self):
        files = (self.checkpoints()[0]).iterdir()
        # Room for one checkpoint and half of the next, which is written before the older one goes.
        room = sum(file.stat().st_size for file in files) * 3 // 2
        mount("-t", "tmpfs", "-o", f"size={room}", "tmpfs", self.small)
        try:
            result = self.call("train", self.config, "--run-dir", "small/run", ranks=self.ranks, expect=support.FAILED)
            self.assertIn("No space left on device", result.err)
            self.assertIn("small/run/checkpoints/step-00000004", result.err)
            self.assertEqual([path.name for path in self.checkpoints("small/run")], ["step-00000002"])
            self.call("checkpoint", "verify", "small/run")
            mount("-o", f"remount,size={4 * room}", self.small)
            self.call("train", self.config, "--run-dir", "small/run", ranks=self.ranks)
            self.assert_same_run("small/run", "run")
        finally:
            subprocess.run(["umount", self.small], check=False)


if __name__ == "__main__":
    allowed = os.geteuid() == 0 and subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0
    if allowed and IN_NAMESPACE not in os.environ:
        os.execvpe(UNSHARE[0], [*UNSHARE, sys.executable, *sys.argv], {**os.environ, IN_NAMESPACE: "1"})
    support.main()
