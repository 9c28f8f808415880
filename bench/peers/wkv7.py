#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The WKV-7 recurrence beside what can be written in PyTorch and what the field has, forward and backward, in one run.

    bench/peers/wkv7.py [--device cpu] [--shape 1 512 12 64] [--rounds 5] [--program build/bench_kernels_wkv7]

Every rival first has to agree with the loop over tokens on a small shape; then all take turns. Rivals: the loop over tokens;
the chunked formulation, as it is and compiled; of flash-linear-attention, where it is installed, the plain recurrences and, on a
GPU, the Triton kernels. On a GPU inputs are bf16, on a CPU fp32. One that fails is named with the reason and left out. Prints
JSON in Google Benchmark's form: the median of the rounds, `least_ms` and `most_ms`, and GB_per_s by the bytes of inputs, outputs
and gradients.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

import recurrences

DECAY_SCALE = -0.6065306597126334  # -exp(-1/2)
CHECKED_SHAPE = (2, 64, 2, 64)
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}  # relative; of bf16 operands, five times what rounding explains
FORWARD_ROWS, BOTH_ROWS = 6 + 1, 6 + 1 + 7 + 6  # tensors of the inputs' shape that are read or written


def fla_rivals(device):
    """Name -> function of (r, log_decay, k, v, a, b), and whether it has a backward."""
    from fla.ops.generalized_delta_rule.dplr import naive

    def by_head(function):  # (B, H, T, N), and r scaled
        def run(r, log_decay, k, v, a, b):
            scaled = r * r.shape[-1] ** 0.5
            y = function(*(x.transpose(1, 2) for x in (scaled, k, v, a, b, log_decay)), output_final_state=False)[0]
            return y.transpose(1, 2)

        return run

    rivals = {"fla_plain_chunks": (by_head(naive.dplr_chunkwise), True)}
    if device.type == "cpu":
        return rivals | {"fla_plain_recurrence": (by_head(naive.dplr_recurrence), True)}
    from fla.ops.rwkv7 import chunk_rwkv7, fused_recurrent_rwkv7

    def triton_chunks(r, log_decay, k, v, a, b):  # all decays of RWKV-7 lie above the bound, which lets it use tensor cores
        return chunk_rwkv7(r, log_decay, k, v, a, b, lower_bound=DECAY_SCALE)[0]

    def triton_recurrence(r, log_decay, k, v, a, b):
        return fused_recurrent_rwkv7(r, log_decay, k, v, a, b, scale=1.0, output_final_state=False)[0]

    return rivals | {"fla_triton_chunks": (triton_chunks, True), "fla_triton_recurrence": (triton_recurrence, False)}


def in_fp32(recurrence):
    """With states and sums as the kernels have them; fp64 stays."""

    def run(*inputs):
        wide = [x if x.dtype == torch.float64 else x.float() for x in inputs]
        return recurrence(*wide).to(inputs[0].dtype)

    return run


def all_rivals(device):
    torch.set_float32_matmul_precision("high")  # a GPU's tensor cores
    chunks = in_fp32(recurrences.chunks)
    rivals = {"token_loop": (in_fp32(recurrences.token_loop), True), "chunks": (chunks, True)}
    try:
        rivals |= fla_rivals(device)
    except ImportError as error:
        print(f"wkv7.py: flash-linear-attention is left out: {error}", file=sys.stderr)
    return rivals | {"compiled_chunks": (torch.compile(chunks, fullgraph=True, dynamic=False), True)}


def random_inputs(shape, device, dtype):
    """r, log_decay, k, v, a, b as the model makes them, and a gradient of the output."""
    torch.manual_seed(1)
    r, decay, k, v, rate, key, gradient = (torch.randn(shape, device=device) for _ in range(7))
    key = F.normalize(key, dim=-1)
    inputs = (r, DECAY_SCALE * torch.sigmoid(decay), k, v, -key, key * torch.sigmoid(rate))
    return [x.to(dtype).requires_grad_() for x in inputs], gradient.to(dtype)


def results(recurrence, inputs, gradient, has_backward):
    y = recurrence(*inputs)
    return (y, *torch.autograd.grad(y, inputs, gradient)) if has_backward else (y,)


def check(recurrence, has_backward, device, dtype):
    inputs, gradient = random_inputs(CHECKED_SHAPE, device, dtype)
    wide = [x.detach().double().requires_grad_() for x in inputs]
    expected = results(recurrences.token_loop, wide, gradient.double(), True)
    for actual, right in zip(results(recurrence, inputs, gradient, has_backward), expected):
        difference = ((actual.double() - right).norm() / right.norm()).item()
        if not difference <= TOLERANCE[dtype]:
            raise ValueError(f"it is off by {difference:.1e}")


@contextlib.contextmanager
def time_limit(end):
    """Raises TimeoutError when time.monotonic() reaches `end`."""

    def stop(*_):
        raise TimeoutError("no time is left")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(end - time.monotonic(), 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Timer:
    def __init__(self, recurrence, has_backward, inputs, gradient):
        self.recurrence, self.has_backward, self.inputs, self.gradient = recurrence, has_backward, inputs, gradient
        self.milliseconds = {"forward": [], "both": []} if has_backward else {"forward": []}
        self.run("both" if has_backward else "forward")  # compiles, tunes, allocates

    def run(self, passes):
        if passes == "both":
            return results(self.recurrence, self.inputs, self.gradient, True)
        with torch.set_grad_enabled("both" in self.milliseconds):  # a forward for a backward keeps what that needs
            return self.recurrence(*self.inputs)

    def round(self):
        for passes, taken in self.milliseconds.items():
            synchronize(self.gradient.device)
            begin = time.perf_counter()
            self.run(passes)
            synchronize(self.gradient.device)
            taken.append((time.perf_counter() - begin) * 1e3)


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Ours:
    """The C++ program; what it measures, forward and backward, is put together here."""

    def __init__(self, program, device, shape, dtype):
        sizes = "/".join(f"{name}:{size}" for name, size in zip("BTHN", shape))
        case = f"(wkv7|for_gpus)/{sizes}/bits:{8 * dtype.itemsize}/"
        where = ["--device=cuda:0"] if device.type == "cuda" else []
        self.command = [
            program,
            *where,
            f"--benchmark_filter=^(forward|backward)/{case}",
            "--benchmark_min_time=0.1",
            "--benchmark_format=json",
        ]
        self.milliseconds = {"forward": [], "both": []}

    def round(self):
        threads = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        output = subprocess.run(self.command, check=True, env=threads, stdout=subprocess.PIPE, text=True).stdout
        taken = {case["name"].split("/")[0]: case["real_time"] for case in json.loads(output)["benchmarks"]}
        self.milliseconds["forward"].append(taken["forward"])
        self.milliseconds["both"].append(taken["forward"] + taken["backward"])


def report(name, milliseconds, shape, dtype):
    for passes, taken in milliseconds.items():
        rows = FORWARD_ROWS if passes == "forward" else BOTH_ROWS
        tokens = shape[0] * shape[1] * shape[2]
        median = statistics.median(taken)
        yield {
            "name": f"{passes}/{name}/" + "/".join(f"{axis}:{size}" for axis, size in zip("BTHN", shape)),
            "real_time": median,
            "time_unit": "ms",
            "least_ms": min(taken),
            "most_ms": max(taken),
            "ns_per_token_head": median * 1e6 / tokens,
            "GB_per_s": rows * tokens * shape[3] * dtype.itemsize / median * 1e-6,
        }


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--device", type=torch.device, default="cpu")
    options.add_argument("--shape", type=int, nargs=4, default=[1, 512, 12, 64], metavar=("B", "T", "H", "N"))
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--program", default="build/bench_kernels_wkv7")
    options.add_argument("--seconds", type=float, default=3600, help="to make rivals ready; who comes later is left out")
    options = options.parse_args()
    end = time.monotonic() + options.seconds
    device, shape = options.device, tuple(options.shape)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.set_num_threads(options.threads)

    inputs, gradient = random_inputs(shape, device, dtype)
    timers = {"wkv7": Ours(options.program, device, shape, dtype)}
    for name, (recurrence, has_backward) in all_rivals(device).items():
        try:
            with time_limit(end):
                check(recurrence, has_backward, device, dtype)
                timers[name] = Timer(recurrence, has_backward, inputs, gradient)
        except Exception as error:  # of another project: what it raises is its business
            print(f"wkv7.py: {name} is left out: {error}", file=sys.stderr)
    for _ in range(options.rounds):
        for timer in timers.values():
            timer.round()
    context = {"device": str(device), "threads": options.threads, "rounds": options.rounds, "torch": torch.__version__}
    context["bits"] = 8 * dtype.itemsize
    benchmarks = [case for name, timer in timers.items() for case in report(name, timer.milliseconds, shape, dtype)]
    print(json.dumps({"context": context, "benchmarks": benchmarks}, indent=2))


if __name__ == "__main__":
    main()
