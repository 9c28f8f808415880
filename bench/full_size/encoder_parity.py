#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Full-size encoders and language model against timm, transformers and the `rwkv` package, on one image and one text.

    encoder_parity.py PROGRAM WEIGHTS MODEL IMAGE_FOLDER IMAGE

WEIGHTS is what make_weights.py wrote; MODEL the import of its 0.1B model with the encoders. Prints one JSON object with the
largest difference of each part, relative to the largest value. Needs torch, timm, transformers, rwkv, h5py, Pillow < 13.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ |= {"RWKV_V7_ON": "1", "RWKV_JIT_ON": "0", "RWKV_CUDA_ON": "0"}

import h5py
import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from transformers.models.sam.configuration_sam import SamVisionConfig
from transformers.models.sam.modeling_sam import SamVisionEncoder

IMAGENET = (torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225]))
HALF = (torch.full((3,), 0.5),) * 2
META_NAMES = (("patch_embed.projection", "patch_embed.proj"), ("layers.", "blocks."), ("layer_norm", "norm"), ("neck.conv1", "neck.0"),
              ("neck.norm1", "neck.1"), ("neck.conv2", "neck.2"), ("neck.norm2", "neck.3"))  # fmt: skip


def pixels(path, size, statistics):
    image = Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    return ((values - statistics[0].view(3, 1, 1)) / statistics[1].view(3, 1, 1))[None]


def vit(name, state, image, block):
    module = timm.create_model(name, pretrained=False, img_size=448, num_classes=0).eval()
    positions = state["pos_embed"]
    side = int(positions.shape[1] ** 0.5)
    grid = positions.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    state["pos_embed"] = F.interpolate(grid, size=(32, 32), mode="bicubic", antialias=True).permute(0, 2, 3, 1).flatten(1, 2)
    module.load_state_dict(state)
    return module.get_intermediate_layers(image, n={block})[0]


def sam(state, image):
    config = SamVisionConfig(use_abs_pos=True, use_rel_pos=True)
    config._attn_implementation = "eager"
    module = SamVisionEncoder(config).eval()
    ours = {}
    for name, _ in module.named_parameters():
        meta = name
        for theirs, ours_name in META_NAMES:
            meta = meta.replace(theirs, ours_name)
        ours[name] = state[meta]
    module.load_state_dict(ours)
    return F.pixel_unshuffle(module(image).last_hidden_state, 2).flatten(2).transpose(1, 2)


def load(path, prefix=""):
    state = torch.load(path, weights_only=True, mmap=True)
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def difference(actual, expected):
    return float((actual - expected).abs().max() / expected.abs().max())


def main():
    program, weights, model, folder, image = sys.argv[1:]
    weights = pathlib.Path(weights)
    text = "The full size is computed as the small one."
    samples = [{"id": "image", "image": image, "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]},
               {"id": "text", "conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": "Yes."}]}]  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        (pathlib.Path(scratch) / "s.json").write_text(json.dumps(samples))
        subprocess.run([program, "forward", "--model", model, "--samples", f"{scratch}/s.json", "--image-folder", folder, "--output",
                        f"{scratch}/o.h5", "--features", "--threads", str(os.cpu_count())], check=True, stdout=sys.stderr)  # fmt: skip
        with h5py.File(f"{scratch}/o.h5") as file:
            ours = torch.from_numpy(file["samples/0/image_features"][()])
            ids, logits = file["samples/1/token_ids"][()].tolist(), torch.from_numpy(file["samples/1/logits"][()])
        path = pathlib.Path(folder) / image
        found = {
            "dinov2": (ours[..., :1024], vit("vit_large_patch14_reg4_dinov2.lvd142m", load(weights / "dinov2/pytorch_model.bin"), pixels(path, 448, IMAGENET), 22)),
            "siglip": (ours[..., 1024:2176], vit("vit_so400m_patch14_siglip_384", load(weights / "siglip/open_clip_pytorch_model.bin", "visual.trunk."), pixels(path, 448, HALF), 25)),
            "sam": (ours[..., 2176:], sam(load(weights / "sam_vit_b_01ec64.pth", "image_encoder."), pixels(path, 1024, IMAGENET))),
        }  # fmt: skip
        from rwkv.model import RWKV

        base = next(weights.glob("RWKV-x070-World-0.1B*.pth"))
        theirs, _ = RWKV(model=str(base.with_suffix("")), strategy="cpu fp32").forward(ids, None, full_output=True)
        found["logits"] = (logits, theirs.float())
        print(json.dumps({name: difference(*pair) for name, pair in found.items()}))


if __name__ == "__main__":
    main()
