#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""h5py_test.py COMMAND...: has COMMAND write a checkpoint and reads it by docs/checkpoint_format.md alone."""
import json
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np

SHAPES = {
    "rwkv.blocks.0.att.key.weight": (256, 300),
    "rwkv.blocks.0.ln1.bias": (77,),
    "rwkv.blocks.0.att.x_r": (1, 1, 33),
    "proj.o_proj.weight": (200, 311),
    "rwkv.emb.weight": (50, 20),
    "vit.patch.weight": (4, 3, 2, 2),
}
TRAINABLE = list(SHAPES)[:4]


def counted_values(shape, kind):
    """What tests/trainer/checkpoint/example_run.h fills tensors with, for seed 3."""
    numel = int(np.prod(shape))
    return ((np.arange(numel) * 7 + (300 + kind) * 1000003) % 8191 - 4000).astype(np.float32).reshape(shape)


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def crc32c(data, table=crc32c_table()):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def check_manifest(folder):
    text = (folder / "manifest.json").read_bytes()
    manifest = json.loads(text)
    body = text[: text.rindex(b",\n")]
    assert manifest["crc32c"] == f"{crc32c(body):08x}"
    assert manifest["format"] == "vrwkv-dist checkpoint" and manifest["format_version"] == 1
    assert (manifest["step"], manifest["data_position"], manifest["metrics_rows"]) == (7, 56, 7)
    assert manifest["config"] == "[train]\nseed = 1\n"
    assert {t["name"]: tuple(t["shape"]) for t in manifest["tensors"]} == SHAPES
    assert [t["name"] for t in manifest["tensors"] if t["trainable"]] == TRAINABLE
    assert {f["name"] for f in manifest["files"]} == {p.name for p in folder.iterdir()} - {"manifest.json"}
    for file in manifest["files"]:
        data = (folder / file["name"]).read_bytes()
        assert len(data) == file["bytes"], file
        assert f"{crc32c(data):08x}" == file["crc32c"], file
    return manifest


def check_index(folder):
    with h5py.File(folder / "index.h5", "r") as index:
        assert index.attrs["format_version"] == 1 and index.attrs["step"] == 7
        assert set(index["parameters"]) == set(SHAPES)
        for i, (name, shape) in enumerate(SHAPES.items()):
            expected = {"parameters": counted_values(shape, i + 1)}
            if name in TRAINABLE:
                expected["masters"] = expected["parameters"]
                expected["exp_avg"] = counted_values(shape, i + 11)
                expected["exp_avg_sq"] = counted_values(shape, i + 21)
            for group in ("parameters", "masters", "exp_avg", "exp_avg_sq"):
                assert (name in index[group]) == (group in expected), (group, name)
            for group, values in expected.items():
                assert index[group][name].dtype == np.float32
                np.testing.assert_array_equal(index[group][name][...], values, err_msg=f"/{group}/{name}")


def check_shards(folder, manifest):
    """The way of a reader without virtual datasets: cut tensors out of the flat order."""
    flat = {"master": [], "exp_avg": [], "exp_avg_sq": []}
    for file in manifest["files"]:
        if "shard" not in file:
            continue
        with h5py.File(folder / file["name"], "r") as shard:
            assert (shard.attrs["begin"], shard.attrs["end"]) == (file["begin"], file["end"])
            assert (shard.attrs["world_size"], shard.attrs["step"]) == (manifest["world_size"], 7)
            for dataset, parts in flat.items():
                parts.append(shard[dataset][...])
    for dataset, first_kind in (("master", 1), ("exp_avg", 11), ("exp_avg_sq", 21)):
        values = np.concatenate(flat[dataset])
        assert values.size % 65536 == 0
        for i, tensor in enumerate(t for t in manifest["tensors"] if t["trainable"]):
            part = values[tensor["offset"] : tensor["offset"] + tensor["numel"]].reshape(tensor["shape"])
            np.testing.assert_array_equal(part, counted_values(part.shape, i + first_kind))
            values[tensor["offset"] : tensor["offset"] + tensor["numel"]] = 0
        assert not values.any(), "padding is zero"


def main():
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run([*sys.argv[1:], temporary], check=True)
        folder = pathlib.Path(temporary) / "step-00000007"
        manifest = check_manifest(folder)
        check_index(folder)
        check_shards(folder, manifest)


if __name__ == "__main__":
    main()
