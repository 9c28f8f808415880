#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seconds of one training step of the language model: the trainer's beside PyTorch's, plain and as good as it gets.

    bench/peers/step.py [--shape rows] [--threads 2] [--rounds 5] [--precision fp32] [--program build/bench_trainer_step_server]

The same weights, tokens, threads and optimizer, in turns; before anything is timed, loss and every gradient must agree.
Prints one JSON object: of each side the median, least and most seconds and the median of the CPU's seconds, the ratios of the
medians, the share of matrix products in the trainer's step and the ratios that would remain if it did nothing else.
In bf16 PyTorch computes under autocast, with its recurrence in fp32 as the trainer's is.
Needs torch, of LibTorch's version, and safetensors. PyTorch is a fifth faster, and takes half the memory, under
LD_PRELOAD=libjemalloc.so.2, which is kept from the trainer.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import safetensors.torch
import torch

import language_model

LEARNING_RATE, BETAS, EPSILON, CLIP = 1e-4, (0.9, 0.99), 1e-8, 1.0
FROZEN = "rwkv.emb."
# Of the loss and of the gradients (in fp32 of the one that is furthest off, in bf16 of the median), relative. Sums are made in
# another order; and twelve random blocks make much of roundings to bf16: from fp32 the worst gradient is 0.24 off in the
# trainer, which holds activations in bf16, and 0.12 under autocast, which rounds less, the medians are 0.025 and 0.016.
TOLERANCES = {"fp32": (1e-5, 1e-3), "bf16": (1e-3, 0.04)}


class Trainer:
    """The program, answering with one step for a line."""

    def __init__(self, program, shape, threads, file, precision):
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # as it ships
        command = [program, shape, str(threads), file, precision]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("step.py: the trainer's program ended early.")
        return line

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return json.loads(self.read())


class PyTorch:
    """Steps on `weights`, in which all of its kind share."""

    def __init__(self, weights, token_ids, labels, is_plain, precision):
        self.in_bf16 = precision == "bf16"
        self.trainable = {name: tensor.requires_grad_() for name, tensor in weights.items() if not name.startswith(FROZEN)}
        self.model = language_model.LanguageModel(weights, token_ids, labels, is_plain)
        self.optimizer = torch.optim.AdamW(
            self.trainable.values(),
            LEARNING_RATE,
            BETAS,
            EPSILON,
            weight_decay=0,
            foreach=None if is_plain else False,
            fused=not is_plain,
        )

    def loss(self):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_bf16):
            return self.model.loss()

    def step(self):
        cpu_begin, begin = time.process_time(), time.perf_counter()
        loss = self.loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trainable.values(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"loss": loss.item(), "seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu_begin}

    def differences(self, tensors):
        """Of loss and gradients from the trainer's, as TOLERANCES has them; leaves the weights as they are."""
        loss = self.loss()
        loss.backward()
        gradients = {name: tensor.grad for name, tensor in self.trainable.items()}
        expected = {name: tensors["gradient." + name] for name in gradients}
        self.optimizer.zero_grad()
        relative = [((gradients[name] - e).norm() / e.norm()).item() for name, e in expected.items() if e.norm() > 0]
        return abs(loss.item() / tensors["loss"].item() - 1), (statistics.median if self.in_bf16 else max)(relative)


def say(progress):
    print(progress, file=sys.stderr, flush=True)


def summary(steps):
    seconds = [step["seconds"] for step in steps]
    return {
        "median_seconds": statistics.median(seconds),
        "least_seconds": min(seconds),
        "most_seconds": max(seconds),
        "median_cpu_seconds": statistics.median(step["cpu_seconds"] for step in steps),
    }


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--shape", default="rows")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--precision", choices=TOLERANCES, default="fp32")
    options.add_argument("--program", default="build/bench_trainer_step_server")
    options = options.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)

    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "first.safetensors"
        trainer = Trainer(options.program, options.shape, options.threads, file, options.precision)
        tensors = safetensors.torch.load_file(file)
    weights = {name: tensor.clone() for name, tensor in tensors.items() if name.startswith("rwkv.")}
    token_ids, labels = tensors["token_ids"].long(), tensors["labels"].long()
    rivals = {name: PyTorch(weights, token_ids, labels, name == "plain", options.precision) for name in ("plain", "compiled_chunks")}
    report = {"benchmark": "language_model_step", "shape": options.shape, "threads": options.threads, "rounds": options.rounds}
    report["precision"] = options.precision
    loss_tolerance, gradient_tolerance = TOLERANCES[options.precision]
    report["preloaded"] = os.environ.get("LD_PRELOAD", "")
    report |= {"rows": list(token_ids.shape), "supervised": int((labels[:, 1:] >= 0).sum()), "torch": torch.__version__}
    for name, rival in rivals.items():
        say(f"compare {name}")
        loss, gradient = rival.differences(tensors)
        report["differences_" + name] = {"loss": loss, "gradient": gradient}
        if loss > loss_tolerance or gradient > gradient_tolerance:
            sys.exit(f"step.py: {name} is not the same computation: {report}")
    del tensors

    sides = {"trainer": trainer} | rivals
    steps = {name: [] for name in sides}
    for turn in range(1 + options.rounds):  # the first warms caches and allocates moments
        for name, side in sides.items():
            step = side.step()
            say(f"round {turn}: {name} {step['seconds']:.2f} s, {step['cpu_seconds']:.2f} of the CPU")
            if turn > 0:
                steps[name].append(step)
    report |= {name: summary(taken) for name, taken in steps.items()}
    ours = report["trainer"]["median_seconds"]
    products = statistics.median(step["matrix_product_seconds"] for step in steps["trainer"])
    report["matrix_product_share"] = products / ours
    for name in rivals:
        seconds = report[name]["median_seconds"]
        report[name + "_over_trainer"] = {"ratio": seconds / ours, "bound_by_matrix_products": seconds / products}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
