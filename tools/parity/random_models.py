# SPDX-License-Identifier: Apache-2.0
"""Random small models in the published formats and samples for them: what random_parity.py compares on."""

import collections
import json
import pathlib
import sys

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer

import original

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fixtures"))
import make_model_fixtures as small
from tensor_files import with_device

DTYPES = (torch.bfloat16, torch.bfloat16, torch.float32, torch.float16, torch.float64)


class RandomModel:
    """Shapes drawn from `draw` (random.Random), weights from the generator."""

    def __init__(self, draw, generator, code):
        self.draw, self.generator, self.code = draw, generator, code
        self.grid = draw.randint(2, 6)
        self.tokens_per_image = draw.choice([self.grid, self.grid, draw.randint(1, self.grid)]) ** 2
        self.dino = self._vit_options(64 * draw.randint(1, 3), 64, reg_tokens=draw.choice([0, 1, 4]))
        self.siglip = self._vit_options(*draw.choice([(72, 72), (144, 72), (216, 72), (64, 64), (128, 64)]))
        self.sam = self._sam_options()
        self.sizes = {
            "dino": self.dino["img_size"],
            "siglip": self.siglip["img_size"],
            "sam": self.sam["img_size"],
        }
        self.language_model = self._language_model()
        self.files = {
            "dino": self._tower(self.dino, original_grid=draw.randint(2, 8)),
            "siglip": self._tower(self.siglip, original_grid=draw.randint(2, 8)),
            "sam": self._sam_file(),
        }

    def _vit_options(self, width, head_width, **more):
        patch = self.draw.choice([5, 7, 14])
        return dict(
            img_size=self.grid * patch,
            patch_size=patch,
            embed_dim=width,
            num_heads=width // head_width,
            depth=self.draw.randint(2, 4),
            mlp_ratio=self.draw.choice([0.5, 1.25, 3.7362]),
            **more,
        )

    def _sam_options(self):
        patch, side, heads = self.draw.choice([4, 8, 16]), 2 * self.grid, self.draw.randint(1, 3)
        depth, window = self.draw.randint(2, 4), self.draw.randint(1, 2 * self.grid - 1)
        blocks = tuple(i for i in range(depth) if self.draw.random() < 0.4) or (depth - 1,)
        if len(blocks) == depth:
            blocks = blocks[1:]
        return dict(
            img_size=side * patch,
            patch_size=patch,
            embed_dim=heads * self.draw.choice([8, 20]),
            depth=depth,
            num_heads=heads,
            mlp_ratio=1.5,
            out_chans=self.draw.randint(1, 5),
            window_size=window,
            global_attn_indexes=blocks,
        )

    def _language_model(self):
        small.WIDTH, small.HEAD_SIZE, small.VOCABULARY = 64 * self.draw.randint(1, 3), 64, 65536
        small.LAYERS, small.HEADS = self.draw.randint(2, 4), small.WIDTH // 64
        small.RANKS = {name: 8 * self.draw.randint(1, 12) for name in "wavg"}
        return dict(small.rwkv_parameters(self.generator))

    def file_of_language_model(self):
        """Its tensors; at times with the unused value residual in block 0 that some files carry."""
        extra = {f"blocks.0.att.v{i}": torch.full((2, 2), float("nan")) for i in range(3)}
        return self.language_model | extra if self.draw.random() < 0.3 else self.language_model

    def _tower(self, options, original_grid):
        """Tensors in timm's names at another grid."""
        options = options | dict(img_size=original_grid * options["patch_size"])
        if "reg_tokens" in options:
            options |= dict(init_values=1.0, no_embed_class=True)
        else:
            options |= dict(class_token=False, global_pool="map")
        return dict(small.randomize(VisionTransformer(num_classes=0, **options), self.generator).state_dict())

    def _sam_file(self):
        module = self.code.sam.ImageEncoderViT(
            norm_layer=lambda width: torch.nn.LayerNorm(width, eps=1e-6),
            qkv_bias=True,
            use_rel_pos=True,
            **self.sam,
        )
        return {
            f"image_encoder.{name}": value
            for name, value in small.randomize(module, self.generator).state_dict().items()
        }

    def cast(self):
        """Rounds each file's tensors to the element type that it will have."""
        for name, file in (("rwkv", self.language_model), *self.files.items()):
            dtype = self.draw.choice(DTYPES)
            file.update({key: value.detach().to(dtype) for key, value in file.items()})

    def in_published_names(self):
        """{file name: tensors}: DINOv2 in timm's or Meta's names, the others with more than we need."""
        dino, noise = dict(self.files["dino"]), lambda *shape: torch.randn(*shape, generator=self.generator)
        if self.draw.random() < 0.5 and self.dino["reg_tokens"]:
            position = noise(1, 1, self.dino["embed_dim"]).to(dino["pos_embed"].dtype)
            dino |= {"mask_token": noise(1, self.dino["embed_dim"]), "register_tokens": dino.pop("reg_token")}
            dino["pos_embed"] = torch.cat([position, dino["pos_embed"]], 1)
        siglip = {f"visual.trunk.{name}": value for name, value in self.files["siglip"].items()}
        siglip |= {
            "text.token_embedding.weight": noise(3, 2),
            "logit_scale": torch.tensor(1.0),
            "logit_bias": noise(1),
        }
        sam = self.files["sam"] | {"prompt_encoder.no_mask_embed.weight": noise(1, 2)}
        return {"rwkv": self.file_of_language_model(), "dino": dino, "siglip": siglip, "sam": sam}

    def towers(self, files):
        backbone = original.Backbone(self.code, self.dino, self.siglip, self.sam)
        backbone.load(files["dino"], files["siglip"], files["sam"])
        return backbone


def save(draw, tensors, path):
    """Saves as one of the forms that torch.save and safetensors give; returns the path with its suffix."""
    form = draw.choice(["plain", "views", "transposed", "cuda", "parameters", "safetensors", "mapping"])
    tensors = collections.OrderedDict((name, value.detach().clone()) for name, value in tensors.items())
    if form == "safetensors":
        safetensors.torch.save_file(tensors, path.with_suffix(".safetensors"))
        return path.with_suffix(".safetensors")
    if form == "views" and len({value.dtype for value in tensors.values()}) == 1:
        flat, begin = torch.cat([value.flatten() for value in tensors.values()]), 0
        for name, value in tensors.items():
            tensors[name] = flat[begin : begin + value.numel()].view(value.shape)
            begin += value.numel()
    if form == "transposed":
        for name, value in tensors.items():
            tensors[name] = value.transpose(0, -1).contiguous().transpose(0, -1) if value.dim() else value
    if form == "parameters":
        tensors = collections.OrderedDict(
            (name, torch.nn.Parameter(value)) for name, value in tensors.items()
        )
    tensors._metadata = collections.OrderedDict({"": {"version": 1}})
    path = path.with_suffix(draw.choice([".pth", ".pt", ".bin"]))
    torch.save(dict(tensors) if form == "mapping" else tensors, path)
    if form == "cuda":
        with_device(path, path.with_name("tagged" + path.name), "cuda:0")
        path = path.with_name("tagged" + path.name)
    return path


# ---- samples ------------------------------------------------------------------------------------------------

LETTERS = [
    "abcdefghij ",
    "ABC xyz 0123456789.,;:!?",
    "你好世界这是一只猫。，…",
    "привет мир ",
    "مرحبا بالعالم ",
    "नमस्ते दुनिया ",
    "こんにちは 世界",
    "안녕하세요 ",
    "é̀ñßøÆ€ ",
    "🙂🚀👩‍👩‍👧 ",
    " \n\t",
    "\n\n \u3000\u2003\x0b\r\n\u0085",
    "def f(x):\n    return x\n",
]


def random_text(draw):
    return "".join(
        "".join(draw.choices(draw.choice(LETTERS), k=draw.randint(1, 12))) for _ in range(draw.randint(1, 4))
    )


def random_image(draw, folder, index):
    """Writes a random picture in a random format; returns its name."""
    width, height = (draw.choice([1, 2, 3, 17, 64, 130, 333]) for _ in range(2))
    noise = np.random.default_rng(draw.randrange(2**32))
    small_picture = noise.integers(0, 256, (1 + height // 9, 1 + width // 9, 4), dtype=np.uint8)
    picture = Image.fromarray(small_picture).resize((width, height))
    mode, suffix = draw.choice(
        [
            ("RGB", "png"),
            ("L", "png"),
            ("P", "png"),
            ("RGBA", "png"),
            ("LA", "png"),
            ("1", "png"),
            ("I;16", "png"),
            ("RGB", "jpg"),
            ("L", "jpg"),
            ("CMYK", "jpg"),
            ("RGB", "webp"),
            ("RGBA", "webp"),
            ("P", "gif"),
            ("L", "gif"),
        ]
    )
    options = {}
    if suffix == "jpg":
        exif = Image.Exif()
        exif[0x0112] = draw.randint(1, 8)
        options = dict(
            quality=draw.randint(5, 95),
            progressive=draw.random() < 0.5,
            subsampling=draw.randint(0, 2),
            exif=exif,
        )
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257)
    else:
        picture = (
            picture.convert("RGB").convert(mode) if mode not in ("RGBA", "LA") else picture.convert(mode)
        )
    picture.save(folder / f"{index}.{suffix}", **options)
    return f"{index}.{suffix}"


def random_turns(draw):
    """Mostly questions with answers; at times no answer, an empty one, or speakers in other letters."""
    turns = []
    for _ in range(draw.randint(1, 3)):
        human, gpt = draw.choice([("human", "gpt")] * 8 + [("Human", "GPT")])
        turns.append({"from": human, "value": random_text(draw)})
        turns.append({"from": gpt, "value": "" if draw.random() < 0.05 else random_text(draw)})
    return turns[:-1] if draw.random() < 0.1 else turns


def add_image_marks(draw, turns, count):
    for _ in range(count):
        question = draw.choice(turns[::2])
        mark = draw.choice(["<image>\n", "\n<image>", "<image>", " <image> "])
        before = draw.random() < 0.5
        question["value"] = mark + question["value"] if before else question["value"] + mark


def random_samples(draw, folder, count):
    folder.mkdir()
    samples, images = [], 0
    for index in range(count):
        turns = random_turns(draw)
        sample = {draw.choice(["id", "sample_id"]): f"sample-{index}", "conversations": turns}
        pictures = draw.choice([0, 1, 1, 2, 3])
        if pictures:
            names = [random_image(draw, folder, images + i) for i in range(pictures)]
            sample["image"] = names[0] if pictures == 1 and draw.random() < 0.5 else names
            add_image_marks(draw, turns, pictures)
            images += pictures
        samples.append(sample)
    text = json.dumps(samples, ensure_ascii=draw.random() < 0.5)
    (folder / "samples.json").write_text(text, encoding="utf-8")
    return samples
