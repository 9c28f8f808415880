#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes random weights in the published formats, names and sizes: what the recipes' [paths] name.

    make_weights.py FOLDER [0b1|0b4|1b5|encoders ...]        default: 0b1 encoders
"""
import pathlib
import sys

import numpy as np

import torch_format

RANDOM = np.random.default_rng(20250204)
# layers, width, ranks of w, a, v, g, as in the published files
LANGUAGE_MODELS = {
    "0b1": (12, 768, (64, 64, 32, 128), "RWKV-x070-World-0.1B-v2.8-20241210-ctx4096.pth"),
    "0b4": (24, 1024, (64, 64, 32, 128), "RWKV-x070-World-0.4B-v2.9-20250107-ctx4096.pth"),
    "1b5": (24, 2048, (96, 96, 64, 256), "RWKV-x070-World-1.5B-v3-20250127-ctx4096.pth"),
}
VOCABULARY = 65536


def normal(deviation, mean=0.0):
    def make(shape):
        values = RANDOM.standard_normal(shape, dtype=np.float32)
        values *= deviation
        values += mean
        return values

    return make


def matrix(shape):
    """Keeps the variance of what it is applied to."""
    return normal(float(np.prod(shape[1:])) ** -0.5)(shape)


def uniform(shape):
    return RANDOM.random(shape, dtype=np.float32)


def norm(name, width):
    return [(f"{name}.weight", [width], normal(0.1, 1.0)), (f"{name}.bias", [width], normal(0.1))]


def linear(name, rows, columns):
    return [(f"{name}.weight", [rows, columns], matrix), (f"{name}.bias", [rows], normal(0.02))]


def language_model(layers, width, ranks):
    yield "emb.weight", [VOCABULARY, width], normal(0.5)
    for layer in range(layers):
        block, att = f"blocks.{layer}.", f"blocks.{layer}.att."
        for name in ("ln0", "ln1", "ln2") if layer == 0 else ("ln1", "ln2"):
            yield from norm(block + name, width)
        for c in "rwkvag":
            yield f"{att}x_{c}", [1, 1, width], uniform
        for c, rank in zip("wavg", ranks):
            if c == "v" and layer == 0:
                continue
            if c != "g":
                yield f"{att}{c}0", [1, 1, width], normal(0.5, -1.0 if c == "w" else 0.0)
            yield f"{att}{c}1", [width, rank], normal(width**-0.5)
            yield f"{att}{c}2", [rank, width], normal(0.3 * rank**-0.5)
        yield att + "k_k", [1, 1, width], normal(0.1, 0.85)
        yield att + "k_a", [1, 1, width], normal(0.1, 1.0)
        yield att + "r_k", [width // 64, 64], normal(0.1)
        for name in ("receptance", "key", "value", "output"):
            yield f"{att}{name}.weight", [width, width], matrix
        yield from norm(att + "ln_x", width)
        yield block + "ffn.x_k", [1, 1, width], uniform
        yield block + "ffn.key.weight", [4 * width, width], matrix
        yield block + "ffn.value.weight", [width, 4 * width], matrix
    yield from norm("ln_out", width)
    yield "head.weight", [VOCABULARY, width], matrix


def vit(prefix, width, depth, hidden, native, scaled):
    yield prefix + "pos_embed", [1, native * native, width], normal(0.5)
    yield prefix + "patch_embed.proj.weight", [width, 3, 14, 14], matrix
    yield prefix + "patch_embed.proj.bias", [width], normal(0.02)
    for index in range(depth):
        block = f"{prefix}blocks.{index}."
        yield from norm(block + "norm1", width)
        yield from linear(block + "attn.qkv", 3 * width, width)
        yield from linear(block + "attn.proj", width, width)
        yield from norm(block + "norm2", width)
        yield from linear(block + "mlp.fc1", hidden, width)
        yield from linear(block + "mlp.fc2", width, hidden)
        if scaled:
            yield block + "ls1.gamma", [width], normal(0.1, 0.5)
            yield block + "ls2.gamma", [width], normal(0.1, 0.5)
    yield from norm(prefix + "norm", width)


def dinov2():
    yield "cls_token", [1, 1, 1024], normal(0.5)
    yield "reg_token", [1, 4, 1024], normal(0.5)
    yield from vit("", 1024, 24, 4096, 37, scaled=True)


def siglip():
    prefix, width, hidden = "visual.trunk.", 1152, 4304
    yield from vit(prefix, width, 27, hidden, 27, scaled=False)
    pool = prefix + "attn_pool."
    yield pool + "latent", [1, 1, width], normal(0.5)
    for name, rows, columns in (("q", width, width), ("kv", 2 * width, width), ("proj", width, width)):
        yield from linear(pool + name, rows, columns)
    yield from norm(pool + "norm", width)
    yield from linear(pool + "mlp.fc1", hidden, width)
    yield from linear(pool + "mlp.fc2", width, hidden)
    yield "text.token_embedding.weight", [32000, width], normal(0.02)
    yield "logit_scale", [1], normal(0.1)


def sam():
    width, prefix = 768, "image_encoder."
    yield prefix + "pos_embed", [1, 64, 64, width], normal(0.5)
    yield prefix + "patch_embed.proj.weight", [width, 3, 16, 16], matrix
    yield prefix + "patch_embed.proj.bias", [width], normal(0.02)
    for index in range(12):
        block = f"{prefix}blocks.{index}."
        yield from norm(block + "norm1", width)
        yield from linear(block + "attn.qkv", 3 * width, width)
        yield from linear(block + "attn.proj", width, width)
        places = 127 if index in (2, 5, 8, 11) else 27
        yield block + "attn.rel_pos_h", [places, 64], normal(0.05)
        yield block + "attn.rel_pos_w", [places, 64], normal(0.05)
        yield from norm(block + "norm2", width)
        yield from linear(block + "mlp.lin1", 3072, width)
        yield from linear(block + "mlp.lin2", width, 3072)
    yield prefix + "neck.0.weight", [256, width, 1, 1], matrix
    yield from norm(prefix + "neck.1", 256)
    yield prefix + "neck.2.weight", [256, 256, 3, 3], matrix
    yield from norm(prefix + "neck.3", 256)
    yield "mask_decoder.iou_token.weight", [1, 256], normal(0.1)


def main():
    folder, parts = pathlib.Path(sys.argv[1]), sys.argv[2:] or ["0b1", "encoders"]
    for part in parts:
        if part == "encoders":
            for name, tensors in (("dinov2/pytorch_model.bin", dinov2), ("siglip/open_clip_pytorch_model.bin", siglip), ("sam_vit_b_01ec64.pth", sam)):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                torch_format.write(folder / name, tensors(), "float32")
                print(folder / name, flush=True)
        else:
            layers, width, ranks, name = LANGUAGE_MODELS[part]
            folder.mkdir(parents=True, exist_ok=True)
            torch_format.write(folder / name, language_model(layers, width, ranks), "bfloat16")
            print(folder / name, flush=True)


if __name__ == "__main__":
    main()
