# SPDX-License-Identifier: Apache-2.0
"""The original's own code as an oracle: its data code, SAM and VisualRWKV, in double precision on a CPU.

Needs a checkout of github.com/howard-hou/VisualRWKV at 8e1becc, torch, torchvision, timm, transformers and rwkv.
What the original needs a GPU or a training framework for is replaced here: the WKV kernel by its recurrence, the
framework's classes by empty ones. Sizes that the original fixes (448 and 1024 pixels, three published encoders)
become arguments.
"""

import copy
import importlib.util
import os
import pathlib
import sys
import types

import rwkv
import torch
import torch.nn.functional as F
import torch.utils.cpp_extension
import torchvision.transforms as T
from PIL import Image
from rwkv.rwkv_tokenizer import TRIE_TOKENIZER
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

HEAD_SIZE = 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def wkv(r, w, k, v, a, b):
    """(B, T, C) each; the recurrence of RWKV-7, one token after the other."""
    batch, length, width = r.shape
    r, w, k, v, a, b = (x.view(batch, length, -1, HEAD_SIZE) for x in (r, w, k, v, a, b))
    decay = torch.exp(-torch.exp(w))
    state = torch.zeros(batch, width // HEAD_SIZE, HEAD_SIZE, HEAD_SIZE, dtype=r.dtype)
    rows = []
    for t in range(length):
        removed = state @ a[:, t, :, :, None]
        state = (
            state * decay[:, t, :, None, :]
            + removed * b[:, t, :, None, :]
            + v[:, t, :, :, None] * k[:, t, :, None, :]
        )
        rows.append((state @ r[:, t, :, :, None]).reshape(batch, 1, width))
    return torch.cat(rows, 1)


def load_code(root):
    """The original's modules src.dataset, src.model and src.sam of the folder VisualRWKV-v7/v7.00."""
    os.environ |= {"RWKV_JIT_ON": "0", "RWKV_HEAD_SIZE_A": str(HEAD_SIZE)}
    lightning, utilities, strategies = (
        types.ModuleType(f"pytorch_lightning{name}") for name in ("", ".utilities", ".strategies")
    )
    lightning.LightningModule, lightning.__version__ = torch.nn.Module, "1.9.5"
    utilities.rank_zero_info = utilities.rank_zero_warn = print
    strategies.DeepSpeedStrategy = type("DeepSpeedStrategy", (), {})
    sys.modules |= {module.__name__: module for module in (lightning, utilities, strategies)}
    torch.utils.cpp_extension.load = lambda **options: None
    sys.path.insert(0, str(pathlib.Path(root).resolve(strict=True)))
    find_spec = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == "deepspeed" else find_spec(name, *rest)
    import src.dataset
    import src.model
    import src.sam

    importlib.util.find_spec = find_spec
    src.model.RUN_CUDA_RWKV7g = wkv
    # The original's line for this fixes the grid to 32 x 32.
    src.sam.LosslessDownSampler.forward = lambda self, x: F.pixel_unshuffle(x, self.downsample_factor)
    return src


def tokenizer():
    return TRIE_TOKENIZER(str(pathlib.Path(rwkv.__file__).parent / "rwkv_vocab_v20230424.txt"))


def tokenize(code, encoder, sample, tokens_per_image):
    """Token ids and labels of a sample, neither cut nor padded."""
    turns = copy.deepcopy(sample["conversations"])
    has_image = "image" in sample
    if has_image:
        turns = code.dataset.process_image_tokens_in_conversations(
            turns, num_image_paths=len(image_names(sample))
        )
    else:
        turns = code.dataset.process_tokens_in_conversations(turns)
    result = code.dataset.preprocess(
        turns,
        encoder,
        has_image=has_image,
        ctx_len=0,
        num_token_per_image=tokens_per_image,
        do_pad_to_max_length=False,
    )
    return result["input_ids"], result["labels"]


def image_names(sample):
    names = sample.get("image", [])
    return [names] if isinstance(names, str) else names


def transform(size, mean, std):
    resize = T.Resize((size, size), interpolation=T.InterpolationMode.BICUBIC)
    return resize, T.Compose([T.ToTensor(), T.Normalize(mean, std)])


def read_images(folder, names, sizes):
    """{"dino": (I, 3, S, S), ...} normalised fp32, and {S: (I, 3, S, S)} uint8; sizes by encoder."""
    half = (0.5,) * 3
    settings = {"dino": (MEAN, STD), "siglip": (half, half), "sam": (MEAN, STD)}
    pictures = [Image.open(pathlib.Path(folder) / name).convert("RGB") for name in names]
    images, pixels = {}, {}
    for encoder, (mean, std) in settings.items():
        resize, normalise = transform(sizes[encoder], mean, std)
        resized = [resize(picture) for picture in pictures]
        images[encoder] = torch.stack([normalise(picture) for picture in resized])
        pixels[sizes[encoder]] = torch.stack([T.functional.pil_to_tensor(picture) for picture in resized])
    return images, pixels


class Backbone(torch.nn.Module):
    """The original's three encoders at other sizes: options of timm's and the original's classes."""

    def __init__(self, code, dino, siglip, sam):
        super().__init__()
        self.dino_featurizer = VisionTransformer(num_classes=0, init_values=1.0, no_embed_class=True, **dino)
        self.siglip_featurizer = VisionTransformer(
            num_classes=0, class_token=False, global_pool="map", **siglip
        )
        norm = lambda width: torch.nn.LayerNorm(width, eps=1e-6)
        self.sam_featurizer = code.sam.ImageEncoderViT(
            norm_layer=norm, qkv_bias=True, use_rel_pos=True, rel_pos_zero_init=False, **sam
        )

    @property
    def embed_dim(self):
        return (
            self.dino_featurizer.embed_dim + self.siglip_featurizer.embed_dim + self.sam_featurizer.output_dim
        )

    def forward(self, images):
        layers = [
            tower.get_intermediate_layers(images[name], n={len(tower.blocks) - 2})[0]
            for name, tower in (("dino", self.dino_featurizer), ("siglip", self.siglip_featurizer))
        ]
        return torch.cat([*layers, self.sam_featurizer(images["sam"]).flatten(2).transpose(1, 2)], 2)

    def load(self, dino, siglip, sam):
        """Loads the published files' tensors as timm and the original do, positions resampled.

        Published encoder files are fp32; others are widened first (timm would round resampled positions again).
        """
        dino, siglip, sam = (
            {name: value.float() for name, value in file.items()} for file in (dino, siglip, sam)
        )
        for tower, file in ((self.dino_featurizer, dino), (self.siglip_featurizer, siglip)):
            tower.load_state_dict(checkpoint_filter_fn(file, tower))
        prefix = "image_encoder."
        self.sam_featurizer.load_state_dict(
            {k.removeprefix(prefix): v for k, v in sam.items() if k.startswith(prefix)}
        )


def build(code, language_model, towers, tokens_per_image, projector="mlp"):
    """A VisualRWKV of the language model's tensors (bare names) and of the Backbone that towers() makes."""
    ranks = {
        name: language_model[f"blocks.{min(1, layers_of(language_model) - 1)}.att.{name}1"].shape[1]
        for name in "wavg"
    }
    code.model.SamDinoSigLIPViTBackbone = lambda path: towers()
    vocabulary, width = language_model["emb.weight"].shape
    arguments = types.SimpleNamespace(
        head_size_a=HEAD_SIZE,
        dim_att=width,
        n_embd=width,
        n_layer=layers_of(language_model),
        head_size_divisor=8,
        vocab_size=vocabulary,
        dropout=0,
        grad_cp=0,
        load_model="",
        vision_tower_path={},
        proj_type=projector,
        num_token_per_image=tokens_per_image,
    )
    model = code.model.VisualRWKV(arguments)
    for index, block in enumerate(model.rwkv.blocks):  # the original's formulas give other ranks
        for name, rank in ranks.items():
            if name != "v" or index > 0:
                setattr(block.att, f"{name}1", torch.nn.Parameter(torch.zeros(width, rank)))
                setattr(block.att, f"{name}2", torch.nn.Parameter(torch.zeros(rank, width)))
    model.rwkv.load_state_dict(language_model)
    model.freeze_emb()
    return model.double().eval()


def layers_of(language_model):
    return 1 + max(int(name.split(".")[1]) for name in language_model if name.startswith("blocks."))


def forward(model, token_ids, labels, images):
    """Logits (T, V), the sample's loss, and the encoders' features (I, tokens, D) or None."""
    features = None
    padding = -len(token_ids) % 16  # at the end, so that the original adds none before the first token
    batch = {
        "input_ids": F.pad(token_ids, (0, padding))[None],
        "labels": F.pad(labels, (0, padding), value=-100)[None],
    }
    if images is not None:
        batch["images"] = {name: value.double() for name, value in images.items()}
        with torch.no_grad():
            features = model.vit(batch["images"])
    logits, labels = model(batch)
    logits, targets = logits[0, : len(token_ids)], labels[0, 1 : len(token_ids)]
    valid = max(1, int((targets != -100).sum()))
    loss = F.cross_entropy(logits[:-1], targets, ignore_index=-100, reduction="sum") / valid
    return logits, loss, features
