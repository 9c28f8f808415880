# SPDX-License-Identifier: Apache-2.0
"""Processes of the program, or mpirun and its ranks: a test starts, watches, disturbs and ends them."""
import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import typing

LIMIT_S = 90               # no call of the program on the tiny configuration comes near it


class Result(typing.NamedTuple):
    code: int
    out: str
    err: str


class Job:
    """A process of the program, or of mpirun with its ranks. It never outlives its test."""

    def __init__(self, command, folder):
        self.command = [str(word) for word in command]
        self._out = tempfile.TemporaryFile(dir=folder)
        self._err = tempfile.TemporaryFile(dir=folder)
        self.process = subprocess.Popen(self.command, cwd=folder, stdin=subprocess.DEVNULL, stdout=self._out,
                                        stderr=self._err, start_new_session=True)

    def running(self):
        return self.process.poll() is None

    def ranks(self):
        """Process ids of mpirun's ranks that have started, by rank."""
        found = {}
        for pid in descendants(self.process.pid):
            rank = environment_of(pid).get("OMPI_COMM_WORLD_RANK")
            if rank is not None:
                found[int(rank)] = pid
        return found

    @contextlib.contextmanager
    def paused(self):
        """Holds all ranks still: what is looked at and done inside happens at one moment."""
        ranks = list(self.ranks().values())
        send(signal.SIGSTOP, ranks)
        wait_until(lambda: all(state_of(pid) in "TXZ" for pid in ranks), self, pause=0.001)
        try:
            yield
        finally:
            send(signal.SIGCONT, ranks)

    def wait(self, limit=LIMIT_S):
        """The result; an AssertionError with the output so far when the limit passes."""
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self} still ran after {limit} s") from None
        return self.result()

    def result(self):
        return Result(self.process.returncode, self._text(self._out), self._text(self._err))

    def kill(self):
        """Ends the process and all that it started: mpirun gives every rank a process group of its own."""
        if not self.running():
            return
        groups = {self.process.pid}
        for pid in descendants(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                groups.add(os.getpgid(pid))
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait(LIMIT_S)

    def close(self):
        self.kill()
        self._out.close()
        self._err.close()

    def __str__(self):
        return f"$ {' '.join(self.command)}\n{self._text(self._out)}{self._text(self._err)}"

    @staticmethod
    def _text(stream):
        stream.seek(0, os.SEEK_END)
        return os.pread(stream.fileno(), stream.tell(), 0).decode("utf-8", "replace")


def wait_until(condition, what, limit=LIMIT_S, pause=0.01):
    """Waits for a condition; an AssertionError that shows `what` after the limit."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit} s for nothing: {what}")
        time.sleep(pause)


def descendants(pid):
    """All processes below one, itself not included."""
    children = {}
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue       # it has just ended
        children.setdefault(int(after_name[1]), []).append(int(status.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def send(number, pids):
    """Sends a signal to those of the processes that still are there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def status_of(pid):
    """/proc/PID/status by field; empty when the process is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def state_of(pid):
    """One letter, as in ps: T is held still, Z has ended and waits for its parent, X is gone."""
    return status_of(pid).get("State", "X")[0]


def is_alive(pid):
    return state_of(pid) not in "XZ"


def environment_of(pid):
    try:
        block = pathlib.Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in block.split("\0") if "=" in entry)
