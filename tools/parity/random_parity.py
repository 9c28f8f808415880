#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares `vrwkv-dist forward` with the original's own code on random models, files, texts and pictures.

    python3 tools/parity/random_parity.py CHECKOUT/VisualRWKV-v7/v7.00 build/vrwkv-dist --seeds 0 20

Each seed draws shapes, element types, ways of saving and samples; the separate files go through `checkpoint
import`, the whole model is read directly. Prints the largest differences, relative to each tensor's largest
magnitude, and ends with code 1 when one is above its limit. Run with torch 2.11.0, torchvision 0.26.0, timm 1.0.31,
transformers 5.23.0, rwkv 0.8.32, Pillow 12.3.0, h5py 3.16.0, safetensors 0.8.
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch

import original
import random_models

LIMITS = {
    "logits": 1e-5,
    "loss": 1e-5,
    "image_features": 1e-5,
    "gradients": 1e-4,
    "token_ids": 0,
    "labels": 0,
    "pixels": 0,
    "names": 0,
}

# The original's labels for turns by "Human" or "GPT".
COMPATIBLE = "--set=model.compat=visualrwkv-7.00"


class Report:
    def __init__(self):
        self.worst = collections.defaultdict(lambda: (-1.0, ""))

    def compare(self, kind, actual, expected, name):
        expected = np.asarray(expected.detach() if isinstance(expected, torch.Tensor) else expected)
        actual = np.asarray(actual)
        if actual.shape != expected.shape:
            difference = float("inf")
        elif LIMITS[kind] == 0:
            difference = float((actual != expected).sum())
        else:
            scale = np.abs(expected).max(initial=1e-30)
            difference = float(np.abs(actual.astype(np.float64) - expected).max(initial=0) / scale)
            difference = difference if np.isfinite(difference) else float("inf")
        self.worst[kind] = max(self.worst[kind], (difference, name))

    def compare_all(self, group, values, name):
        for kind, value in zip(("token_ids", "labels", "logits", "loss"), values):
            self.compare(kind, group[kind], value, name)

    def failures(self):
        return [
            f"{kind}: {value:.2e} at {name}"
            for kind, (value, name) in self.worst.items()
            if value > LIMITS[kind]
        ]

    def __str__(self):
        return "  ".join(f"{kind} {value:.1e}" for kind, (value, _) in sorted(self.worst.items()))


class Case:
    def __init__(self, seed, code, program, folder):
        self.seed, self.code, self.program, self.folder = seed, code, program, folder
        self.draw, self.report = random.Random(seed), Report()
        self.model = random_models.RandomModel(self.draw, torch.Generator().manual_seed(seed), code)
        self.data = folder / "images"
        self.samples = random_models.random_samples(self.draw, self.data, count=self.draw.randint(1, 5))
        self.settings = [f"--set=vision.tokens_per_image={self.model.tokens_per_image}", COMPATIBLE]
        self.projector = self.draw.choice(["mlp", "mlp", "linear"])

    def call(self, *arguments):
        result = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(f"seed {self.seed}: code {result.returncode} of {arguments}\n{result.stderr}")

    def forward(self, model, *options, samples=None, settings=()):
        output = self.folder / "forward.h5"
        inputs = ["--model", model, "--samples", samples or self.data / "samples.json"]
        inputs += ["--image-folder", self.data, "--output", output]
        self.call("forward", *inputs, *settings, *options)
        return h5py.File(output, "r")

    def run(self):
        self.model.cast()
        tensors = self.model.in_published_names()
        files = {
            name: random_models.save(self.draw, value, self.folder / name) for name, value in tensors.items()
        }
        towers, language_model = lambda: self.model.towers(tensors), self.model.language_model
        pooled = self.model.tokens_per_image
        model = original.build(self.code, language_model, towers, pooled, self.projector)
        self.compare_separate(files, model)
        self.compare_text_only(files["rwkv"], model)
        dtype = self.draw.choice(random_models.DTYPES[:-1])
        whole = {name: value.to(dtype) for name, value in model.state_dict().items()}
        model.load_state_dict(whole)
        self.compare_whole(random_models.save(self.draw, whole, self.folder / "whole"), model)

    def inputs(self):
        """(token ids, labels, images, pixels) of each sample."""
        encoder = original.tokenizer()
        for sample in self.samples:
            names = original.image_names(sample)
            images, pixels = original.read_images(self.data, names, self.model.sizes) if names else (None, {})
            yield *original.tokenize(self.code, encoder, sample, self.model.tokens_per_image), images, pixels

    def compare_separate(self, files, model):
        imported = self.folder / "imported"
        settings = [*self.settings, f"--set=model.projector={self.projector}"]
        self.call("checkpoint", "import", *files.values(), "--output", imported, *settings)
        with self.forward(imported, "--features", "--no-logits") as actual:
            for index, (_, _, images, _) in enumerate(self.inputs()):
                if images:
                    with torch.no_grad():
                        expected = model.vit({name: value.double() for name, value in images.items()})
                    found = actual[f"samples/{index}/image_features"]
                    self.report.compare("image_features", found, expected, f"separate {index}")

    def compare_text_only(self, file, model):
        samples = [{key: value for key, value in sample.items() if key != "image"} for sample in self.samples]
        path = self.folder / "text.json"
        path.write_text(json.dumps(samples), encoding="utf-8")
        encoder = original.tokenizer()
        with self.forward(file, samples=path, settings=[COMPATIBLE]) as actual:
            for index, sample in enumerate(samples):
                token_ids, labels = original.tokenize(self.code, encoder, sample, 1)
                with torch.no_grad():
                    logits, loss, _ = original.forward(model, token_ids, labels, None)
                found, expected = actual[f"samples/{index}"], (token_ids, labels, logits, loss)
                self.report.compare_all(found, expected, f"text {index}")

    def compare_whole(self, file, model):
        penalty, stage = self.draw.choice(["supervised", "all", "off"]), self.draw.choice([1, 2, 2])
        options = ["--features", "--gradients", "--stage", stage, "--l2wrap", penalty]
        with self.forward(file, *options, settings=self.settings) as actual:
            losses, peaks = [], []
            for index, (token_ids, labels, images, pixels) in enumerate(self.inputs()):
                logits, loss, features = original.forward(model, token_ids, labels, images)
                found = actual[f"samples/{index}"]
                self.report.compare_all(found, (token_ids, labels, logits, loss), f"sample {index}")
                for size, value in pixels.items():
                    self.report.compare("pixels", found[f"pixels/{size}"], value, f"sample {index}, {size}")
                if images:
                    self.report.compare(
                        "image_features", found["image_features"], features, f"sample {index}"
                    )
                losses.append(loss)
                peak = logits.max(-1).values
                peaks.append(peak if penalty == "all" else peak[:-1][labels[1:] != -100])
            loss = torch.stack(losses).mean()
            self.report.compare("loss", actual["loss"], loss, "batch")
            # The penalty's gradient is 1e-4 peak / n at each of the n positions.
            peaks = torch.cat(peaks)
            total = loss if penalty == "off" else loss + 0.5e-4 / len(peaks) * (peaks**2).sum()
            self.compare_gradients(actual["gradients"], model, total, stage)

    def compare_gradients(self, actual, model, total, stage):
        learning = {
            name: value
            for name, value in model.named_parameters()
            if value.requires_grad and (stage == 2 or name.startswith("proj."))
        }
        if all("image" not in sample for sample in self.samples):
            learning = {name: value for name, value in learning.items() if not name.startswith("proj.")}
        if not learning:
            return
        gradients = torch.autograd.grad(total, list(learning.values()))
        missing = set(learning) - set(actual)
        self.report.compare("names", len(missing), 0, f"missing {sorted(missing)[:3]}")
        for name, value in zip(learning, gradients):
            if name in actual:
                self.report.compare("gradients", actual[name], value, f"{name}, stage {stage}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("original", help="VisualRWKV-v7/v7.00 of a checkout of the original")
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 5), metavar=("FIRST", "END"))
    options = parser.parse_args()
    code, failed = original.load_code(options.original), 0
    for seed in range(*options.seeds):
        with tempfile.TemporaryDirectory(prefix=f"parity-{seed}-") as folder:
            case = Case(seed, code, options.program.resolve(strict=True), pathlib.Path(folder))
            case.run()
        failures = case.report.failures()
        failed += bool(failures)
        print("\n    FAILED ".join([f"seed {seed}: {case.report}", *failures]), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
