#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images per second of one core: one loader thread of ours beside one worker of a PyTorch DataLoader with Pillow.

    bench/data/image_peer.py BENCH FOLDER [--sizes 448,1024] [--rounds 5] [--seconds 4]

Both read, decode and resize the same files to every size and stack batches of 8, uint8. First every byte is compared; a
difference ends it. Then both are timed in turns, by the processor time of the thread and of the worker process (what the
worker's parent does, taking batches from shared memory, is not counted). Prints JSON: the medians and their ratio.

BENCH is build/bench_data_image. Needs torch, Pillow and numpy.
"""
import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import tempfile

import numpy
import PIL
import torch
from PIL import Image, features

BATCH = 8


def planes(file, size):
    """(3, size, size) uint8."""
    with Image.open(file) as image:
        return stacked(image.convert("RGB"), size)


def stacked(image, size):
    pixels = numpy.array(image.resize((size, size), Image.BICUBIC))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


class Images(torch.utils.data.Dataset):
    def __init__(self, files, sizes, count):
        self.files, self.sizes, self.count = files, sizes, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        with Image.open(self.files[index % len(self.files)]) as file:
            image = file.convert("RGB")
        return [stacked(image, size) for size in self.sizes]


def worker_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def dataloader_speed(files, sizes, count):
    """Images per second of the worker's processor time; it has ended when the last batch was taken."""
    before = worker_seconds()
    loader = torch.utils.data.DataLoader(Images(files, sizes, count), batch_size=BATCH, num_workers=1)
    for _ in loader:
        pass
    return count / (worker_seconds() - before)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--sizes", default="448,1024")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [int(size) for size in arguments.sizes.split(",")]
    files = sorted(arguments.folder.iterdir())
    command = [arguments.bench, arguments.folder, "--sizes", arguments.sizes]
    if int(PIL.__version__.split(".")[0]) >= 13:
        command.append("--pillow13")

    with tempfile.TemporaryDirectory() as dump:
        subprocess.run([*command, "--dump", dump], check=True)
        for file in files:
            for size in sizes:
                ours = (pathlib.Path(dump) / f"{file.name}.{size}").read_bytes()
                assert ours == planes(file, size).numpy().tobytes(), f"{file} at {size}: the bytes differ"

    ours, peers = [], []
    for _ in range(arguments.rounds):
        result = subprocess.run([*command, "--seconds", str(arguments.seconds)], check=True, capture_output=True)
        ours.append(json.loads(result.stdout)["images_per_cpu_second"])
        count = max(BATCH, round(ours[-1] * arguments.seconds / 4 / BATCH) * BATCH)
        peers.append(dataloader_speed(files, sizes, count))
    print(json.dumps({
        "files": len(files), "sizes": sizes, "rounds": arguments.rounds, "same_bytes": True,
        "pillow": PIL.__version__, "pillow_libjpeg_turbo": features.version("libjpeg_turbo"), "torch": torch.__version__,
        "images_per_cpu_second": round(statistics.median(ours), 1),
        "dataloader_images_per_cpu_second": round(statistics.median(peers), 1),
        "ratio": round(statistics.median(our / peer for our, peer in zip(ours, peers)), 2),
        "ratios": [round(our / peer, 2) for our, peer in zip(ours, peers)]}))


if __name__ == "__main__":
    main()
