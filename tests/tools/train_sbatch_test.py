# SPDX-License-Identifier: Apache-2.0
"""What slurm/train.sbatch does with mpirun's exit codes and with signals; stand-ins take the place of mpirun and scontrol."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "slurm" / "train.sbatch"
LIMIT_S = 30


class TrainSbatch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def stand_in(self, name, text):
        (self.folder / name).write_text("#!/bin/bash\n" + text)
        (self.folder / name).chmod(0o755)

    def start(self, mpirun, **environment):
        self.stand_in("mpirun", f'printf "%s\\n" "$*" >{self.folder}/mpirun-called\n{mpirun}\n')
        self.stand_in("scontrol", f'echo "$@" >>{self.folder}/scontrol-called\n')
        return subprocess.Popen(["bash", SCRIPT, "mine.toml", "--max-steps", "3"], stdout=subprocess.PIPE,
                                env={"PATH": f"{self.folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "17",
                                     "SLURM_NTASKS": "4", **environment})

    def finish(self, process):
        process.communicate(timeout=LIMIT_S)
        return process.returncode

    def called(self, name):
        file = self.folder / f"{name}-called"
        return file.read_text().splitlines() if file.exists() else []

    def test_hands_its_arguments_on(self):
        self.assertEqual(self.finish(self.start("exit 0")), 0)
        self.assertEqual(self.called("mpirun"), ["-n 4 --map-by slot:PE=1 build/vrwkv-dist train mine.toml --max-steps 3"])
        self.assertEqual(self.called("scontrol"), [])

    def test_requeues_a_run_that_stopped_on_request(self):
        self.assertEqual(self.finish(self.start("exit 75", SLURM_RESTART_COUNT="90")), 75)
        self.assertEqual(self.called("scontrol"), ["requeue 17"])

    def test_leaves_errors_to_people(self):
        for code in (1, 2, 3, 4):
            self.assertEqual(self.finish(self.start(f"exit {code}")), code)
        self.assertEqual(self.called("scontrol"), [])

    def test_tries_again_after_a_kill_but_not_for_ever(self):
        self.assertEqual(self.finish(self.start("exit 137", SLURM_RESTART_COUNT="4")), 137)
        self.assertEqual(self.called("scontrol"), ["requeue 17"])
        self.assertEqual(self.finish(self.start("exit 137", SLURM_RESTART_COUNT="5")), 137)
        self.assertEqual(self.called("scontrol"), ["requeue 17"])

    def test_hands_signals_on_and_waits_for_the_checkpoint(self):
        for number in (signal.SIGUSR1, signal.SIGTERM):
            (self.folder / "mpirun-called").unlink(missing_ok=True)
            (self.folder / "scontrol-called").unlink(missing_ok=True)
            process = self.start(f'trap "sleep 0.5; touch {self.folder}/saved; exit 75" USR1\n'
                                 f"touch {self.folder}/ready\nwhile true; do sleep 0.05; done")
            end = time.monotonic() + LIMIT_S
            while not (self.folder / "ready").exists() and time.monotonic() < end:
                time.sleep(0.02)
            process.send_signal(number)
            self.assertEqual(self.finish(process), 75)
            self.assertTrue((self.folder / "saved").exists())
            self.assertEqual(self.called("scontrol"), ["requeue 17"])
            (self.folder / "saved").unlink()
            (self.folder / "ready").unlink()


if __name__ == "__main__":
    unittest.main()
